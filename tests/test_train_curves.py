"""The curves of a training show what its log holds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from revisage.lab.train.curves import draw, read_log, write

BLUE = (31, 119, 180)

LOG = """100,train,step1/l1,0.4
100,train,step1/gradient,7
100,train,rate,0.001
200,train,step1/l1,0.2
200,train,skipped,0
300,train,step1/l1,nan
200,validation,psnr,20
200,validation,input_psnr,19
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def test_a_log_is_read_by_group_and_name(log: Path) -> None:
    read = read_log(log)
    assert read.keys() == {"train", "validation"}
    assert read["train"]["step1/l1"][:2].tolist() == [[100, 0.4], [200, 0.2]]


def test_a_falling_loss_falls_in_its_panel(log: Path) -> None:
    picture = draw(log)
    assert picture.shape == (240, 2 * 480, 3)  # the loss, and the figure with its input's
    y, x = np.nonzero(np.abs(picture[:, :480].astype(int) - BLUE).sum(2) < 60)
    assert y[x == x.min()].mean() < 40  # starts at the top left
    assert y[x == x.max()].mean() > 200
    assert (np.abs(picture[:, 480:].astype(int) - BLUE).sum(2) < 60).any()  # one value is a dot


def test_how_hard_losses_pull_is_one_panel_for_each_phase(log: Path) -> None:
    with log.open("a") as file:
        for name in ("l1", "identity"):
            file.writelines(f"{n},pull,step1/{name},{n / 100}\n" for n in (100, 200))
        file.write("200,pull,step2/l1,3\n")
    assert draw(log).shape == (2 * 240, 3 * 480, 3)  # two panels more


def test_an_empty_log_gives_an_empty_picture(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("")
    write(log)
    with Image.open(tmp_path / "curves.png") as picture:
        assert np.asarray(picture).min() == 255
