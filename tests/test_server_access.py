"""The identity guard that a server has without being asked, where an identity model is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import requests
from onnx_files import CONTRACT
from server_stub import photo, running

from revisage import cli
from revisage.cli.serve import Options, _settings
from revisage.errors import UsageError
from revisage.restore import GUARD_DEGREES, InstalledModels, Settings
from revisage.server import JobOptions, ServerSettings
from revisage.server.client import Client

WHITE = JobOptions(scale="1", colour="enhance")


def main(arguments: list[str]) -> int:
    return cli.main(["serve", *arguments])


def outcome(client: Client, options: JobOptions) -> tuple[str, float | None]:
    """What becomes of the photo's face: its identity drifts by some 60 degrees at full strength."""
    job = client.submit(photo(), options)
    assert client.wait(job.id).state == "done"
    (face,) = client.report(job.id)["photos"][0]["faces"]
    return face["outcome"], face["strength"]


def test_the_servers_guard_holds_a_face_back_unless_the_request_names_another(tmp_path: Path) -> None:
    with running(tmp_path, models="drifting_models", guard=25.0) as server:
        client = server.ready().client
        assert requests.get(server.url + "/v1/server", timeout=5).json()["guard"] == 25
        held, share = outcome(client, WHITE)
        assert held == "restored"
        assert share is not None
        assert share < 1
        assert outcome(client, JobOptions(scale="1", colour="enhance", guard=180)) == ("restored", 1.0)
        assert outcome(client, JobOptions(scale="1", colour="enhance", guard=1))[0] == "skipped"


def test_without_an_identity_model_the_guard_is_off(tmp_path: Path) -> None:
    with running(tmp_path, guard=1.0) as server:
        job = server.ready().client.submit(photo(), WHITE)
        assert server.client.wait(job.id).state == "done"
        faces = server.client.report(job.id)["photos"][0]["faces"]
        assert [face["strength"] for face in faces] == [1.0, 1.0]


@pytest.mark.parametrize(("given", "degrees"), [(GUARD_DEGREES, GUARD_DEGREES), (45.0, 45.0), ("off", None)])
def test_the_command_sets_it(given: float | str, degrees: float | None) -> None:
    assert _settings(Options(guard=given)).guard == degrees  # type: ignore[arg-type]
    assert _settings(Options()).guard == GUARD_DEGREES


def test_a_guard_is_an_angle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="guard"):
        ServerSettings(tmp_path, guard=181)
    assert main(["--guard", "200", "--data", str(tmp_path)]) == 2
    assert "guard" in capsys.readouterr().err


def test_an_installed_model_is_found_by_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = pytest.importorskip("onnx.helper", reason="writes a network")
    from onnx import TensorProto, save

    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 32, 32])
    embedding = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 3])
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["output"], axis=1, p=2),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "identity", [picture], [embedding]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    facts = CONTRACT | {"revisage.task": "identity", "revisage.size": "32"}
    helper.set_model_props(model, {key: value for key, value in facts.items() if key != "revisage.scale"})
    save(model, tmp_path / "mine.onnx")
    monkeypatch.setenv("REVISAGE_MODELS", str(tmp_path))
    monkeypatch.setattr("revisage.zoo.store.CATALOGUE", {})  # an embedded one would come first
    monkeypatch.setattr("revisage.zoo.store.EMBEDDED", tmp_path / "none")
    found = InstalledModels(Settings(threads=1)).identity()
    assert found is not None
    assert found.size == 32
    gray = found.session.run(np.full((2, 3, 32, 32), 0.5, np.float32))
    assert np.allclose(gray, 3**-0.5, atol=1e-3)
