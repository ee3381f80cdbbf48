"""The progressive GAN as a model: its network, its file, and the way through `revisage restore --aligned`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from restore_stubs import StubModels, same  # noqa: E402

from revisage.cli import main  # noqa: E402
from revisage.errors import FaceError, UsageError  # noqa: E402
from revisage.lab.architectures import build, export_network  # noqa: E402
from revisage.lab.networks.gfpgan import UnitRange  # noqa: E402
from revisage.lab.networks.progressive import Critic, Progressive, ProgressiveConfig  # noqa: E402
from revisage.lab.train import presets  # noqa: E402
from revisage.lab.train.init import start_from  # noqa: E402
from revisage.restore import FaceModel, RestoreOptions, Restorer  # noqa: E402
from revisage.runtime import open_session  # noqa: E402
from revisage.zoo import read_contract  # noqa: E402

OBJECTIVES = {"upscale": 16, "restore": 128}
TINY = ((16, 16, 8, 8), (1, 0, 0, 0))


def tiny(objective: str) -> Progressive:
    """With weights that do something, unlike fresh ones."""
    torch.manual_seed(0)
    network = Progressive(ProgressiveConfig(*TINY, encoder=objective == "restore"))
    for head in network.heads:
        torch.nn.init.normal_(head.weight, std=0.05)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for objective in OBJECTIVES:
        path = folder / f"tiny-{objective}.onnx"
        export_network(tiny(objective), path, name=path.stem, version="1", licence="CC0-1.0")
    return {objective: folder / f"tiny-{objective}.onnx" for objective in OBJECTIVES}


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_step_gives_a_picture_twice_as_large(objective: str, step: int) -> None:
    side = OBJECTIVES[objective]
    pictures = tiny(objective)(torch.zeros(2, 3, side, side), step)
    assert [tuple(p.shape) for p in pictures] == [(2, 3, 16 * 2**k, 16 * 2**k) for k in range(1, step + 1)]
    scores = Critic((8, 8, 8, 8, 8))(pictures[-1], step)
    assert scores.shape == (2,)


def test_the_papers_encoder_gives_512_features_of_16_pixels() -> None:
    preset = presets.choose("progressive-restore", "paper")
    network = build(preset.task(Path()).network)
    assert isinstance(network, Progressive)
    with torch.no_grad():
        features = network.encoder(torch.zeros(1, 3, 128, 128))
    assert features[0].shape == (1, 512, 16, 16)


def test_a_step_is_trained_with_those_before_it_and_not_with_those_behind() -> None:
    network = tiny("restore")
    network(torch.rand(1, 3, 128, 128), 2)[-1].mean().backward()
    moved = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {name.split(".")[1] for name in moved if name.startswith("steps.")} == {"0", "1"}
    assert {name.split(".")[1] for name in moved if name.startswith("heads.")} == {"1"}
    assert "encoder.first.weight" in moved


def test_a_fresh_network_with_the_residual_starts_from_the_enlarged_input() -> None:
    network = Progressive(ProgressiveConfig(*TINY))
    for head in network.heads:
        assert head.weight.std() < 0.1
        torch.nn.init.zeros_(head.weight)
    thumbnail = torch.rand(1, 3, 16, 16)
    large = torch.nn.functional.interpolate(thumbnail, scale_factor=8.0, mode="bicubic")
    torch.testing.assert_close(UnitRange(network)(thumbnail), large.clamp(0, 1), atol=1e-5, rtol=0)


def test_the_compact_files_are_small() -> None:
    for objective in OBJECTIVES:
        network = build(presets.choose(f"progressive-{objective}").task(Path()).network)
        assert 2 * sum(p.numel() for p in network.parameters()) < 4 * 2**20


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="widths needs 4 numbers"):
        ProgressiveConfig((8, 8), (1, 1, 1, 1))
    with pytest.raises(ValueError, match="widths needs 5 numbers"):
        Critic((8, 8, 8))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_exported_file_computes_the_last_picture(objective: str, files: dict[str, Path]) -> None:
    side = OBJECTIVES[objective]
    contract = read_contract(files[objective])
    assert (contract.task, contract.size, contract.scale) == ("face", side, 128 // side)
    assert contract.framing == "whole"
    batch = np.random.default_rng(0).random((2, 3, side, side), np.float32)
    with torch.no_grad():
        wanted = UnitRange(tiny(objective))(torch.from_numpy(batch)).numpy()
    found = open_session(files[objective], device="cpu", precision="fp32").run(batch)
    assert found.shape == (2, 3, 128, 128)
    assert np.abs(found - wanted).max() < 2 / 255


@pytest.mark.parametrize("side", [16, 20, 128])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_restore_aligned_takes_a_picture_of_any_size_and_gives_128(
    objective: str, side: int, files: dict[str, Path], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    source, out = tmp_path / "face.png", tmp_path / "out.png"
    Image.fromarray(pixels).save(source)
    command = ["restore", str(source), "-o", str(out), "--aligned", "--model", str(files[objective])]
    assert main([*command, "--scene", "none", "--colour", "enhance", "--precision", "fp32"]) == 0
    with Image.open(out) as picture:
        restored = np.asarray(picture)
    assert restored.shape == (128, 128, 3)
    if side == OBJECTIVES[objective]:  # nothing was resized on the way in
        batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        with torch.no_grad():
            wanted = UnitRange(tiny(objective))(batch)[0].numpy().transpose(1, 2, 0) * 255
        assert np.abs(restored - wanted).max() < 3


class Thumbnails(StubModels):
    """A face model from 16 to 128 px that makes everything red, or gives another size than it says."""

    def __init__(self, shape: tuple[int, ...] = (3, 128, 128)) -> None:
        super().__init__(face=same, identity=same)
        self._shape = shape

    def face(self) -> FaceModel:
        assert self.face_session is not None

        def run(batch: np.ndarray) -> np.ndarray:
            assert batch.shape[1:] == (3, 16, 16)
            red = np.zeros((len(batch), *self._shape), np.float32)
            red[:, 0] = 1
            return red

        self.face_session.run = run  # type: ignore[method-assign]
        return FaceModel(self.face_session, "thumbnails 1", 16, 8, whole=True)


def test_strength_mixes_with_the_enlarged_input() -> None:
    pixels = np.full((16, 16, 3), 100, np.uint8)
    restorer = Restorer(models=Thumbnails((3, 128, 128)))
    for strength, wanted in ((0.0, (100, 100, 100)), (0.5, (178, 50, 50)), (1.0, (255, 0, 0))):
        result = restorer.restore(pixels, aligned=True, colour="enhance", strength=strength)
        assert result.pixels.shape == (128, 128, 3)
        assert np.abs(result.pixels.astype(int) - wanted).max() <= 1
        assert result.faces[0].box == (0, 0, 16, 16)
        assert result.faces[0].landmarks == ()  # where they lie in a whole picture, nobody has looked
        assert result.faces[0].identity_degrees is None
        assert result.entry()["faces"][0]["landmarks"] == []


def test_faces_cut_out_of_a_photo_are_not_given_to_a_model_of_whole_pictures(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    restorer = Restorer(models=Thumbnails())
    with pytest.raises(UsageError, match=r"thumbnails 1 takes whole pictures of one face.*add aligned"):
        restorer.restore(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UsageError, match="takes whole pictures"):
        restorer.check()
    restorer.check(RestoreOptions(aligned=True))
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    Image.new("RGB", (64, 64)).save(photo)
    assert main(["restore", str(photo), "-o", str(out), "--model", str(files["restore"])]) == 2
    assert "--aligned" in capsys.readouterr().err
    assert not out.exists()


def test_the_guard_cannot_judge_whole_pictures() -> None:
    restorer = Restorer(models=Thumbnails())
    with pytest.raises(UsageError, match="the guard cannot judge whole pictures: leave it out"):
        restorer.check(RestoreOptions(aligned=True, guard=40))
    with pytest.raises(UsageError, match="the guard cannot judge"):
        restorer.restore(np.zeros((16, 16, 3), np.uint8), aligned=True, guard=40)


def test_an_output_of_another_size_than_stated_is_an_error() -> None:
    with pytest.raises(FaceError, match="it gave"):
        Restorer(models=Thumbnails((3, 64, 64))).restore(np.zeros((16, 16, 3), np.uint8), aligned=True)


def test_objective_2_starts_from_the_weights_of_objective_1(files: dict[str, Path]) -> None:
    network = Progressive(ProgressiveConfig(*TINY, encoder=True))
    fresh = start_from(network, files["upscale"])
    assert {name.partition(".")[0] for name in fresh} == {"encoder", "heads"}
    wanted = tiny("upscale").state_dict()
    shared = [name for name in network.state_dict() if name.startswith(("trunk.", "steps.", "heads.2."))]
    assert len(shared) > 10
    for name in shared:
        torch.testing.assert_close(network.state_dict()[name], wanted[name], atol=1e-3, rtol=0)
    fresh = start_from(Progressive(ProgressiveConfig(*TINY)), files["restore"])
    assert fresh[0] == "first"  # the other way round the entrance is missing
