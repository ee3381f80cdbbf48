"""Reading contracts out of ONNX files, whole ones and broken ones."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_files import CONTRACT, entry, field, model_bytes, varint, write_model

from revisage.errors import ModelCorruptError, ModelError, ModelMissingError
from revisage.zoo import Contract, read_contract, read_metadata

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(
    lambda name: name.lower() not in {"auto", "none"}
)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=60).filter(
    str.strip
)


def test_reads_the_contract(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    assert read_contract(path) == Contract("mine", "scene", None, 2, "3", "CC0-1.0")


def test_reads_what_the_onnx_package_writes(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    info = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", info[:1], info[1:]))
    onnx.helper.set_model_props(model, CONTRACT | {"other": "ünï"})
    onnx.save(model, tmp_path / "m.onnx")
    assert read_metadata(tmp_path / "m.onnx") == CONTRACT | {"other": "ünï"}


@given(
    st.builds(
        Contract,
        name=NAMES,
        task=st.just("scene"),
        size=st.none() | st.integers(1, 4096),
        scale=st.integers(1, 8),
        version=LINES,
        licence=LINES,
        source=st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
        framing=st.sampled_from(["template", "whole"]),
    )
)
def test_metadata_round_trip(contract: Contract) -> None:
    assert Contract.from_metadata(contract.to_metadata()) == contract


def test_words_that_are_defaults_elsewhere_are_kept() -> None:
    contract = Contract("template", "scene", None, 2, "none", "none")
    assert Contract.from_metadata(contract.to_metadata()) == contract


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"revisage.task": ""}, "lacks revisage.task"),
        ({"revisage.task": "dance"}, "task must be one of"),
        ({"revisage.name": "../evil"}, "cannot name a model"),
        ({"revisage.name": "auto"}, "cannot name a model"),
        ({"revisage.scale": "two"}, "whole number"),
        ({"revisage.scale": "0"}, "at least 1"),
        ({"revisage.scale": "9" * 5000}, "whole number"),
        ({"revisage.scale": ""}, "needs scale"),
        ({"revisage.task": "face"}, "needs size"),
        ({"revisage.licence": "a\nb"}, "one line"),
        ({"revisage.source": "AB" * 32}, "source must be 64 lower-case hex digits"),
        ({"revisage.framing": "bust"}, "framing must be one of template, whole, got 'bust'"),
    ],
)
def test_says_what_is_wrong_in_one_line(tmp_path: Path, change: dict[str, str], words: str) -> None:
    path = write_model(tmp_path / "m.onnx", CONTRACT | change)
    with pytest.raises(ModelCorruptError, match=words) as caught:
        read_contract(path)
    assert "\n" not in str(caught.value)


def test_names_everything_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        ModelCorruptError, match=r"revisage\.task, revisage\.name, revisage\.version, revisage\.li"
    ):
        read_contract(write_model(tmp_path / "m.onnx", {}))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="cannot open"):
        read_contract(tmp_path / "none.onnx")


def test_weights_in_a_second_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model_bytes(external=True))
    with pytest.raises(ModelCorruptError, match="single file"):
        read_contract(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        model_bytes(nodes=0),
        model_bytes()[:-1],
        field(7, b"") + b"\x72" + varint(2**63),
        b"\xff" * 40,
        model_bytes() + field(14, bytes(70_000)),
        model_bytes() + field(14, field(1, b"\xff\xfe")),
    ],
)
def test_what_is_no_network_is_a_typed_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(ModelCorruptError, match="not a usable ONNX file"):
        read_contract(tmp_path / "m.onnx")


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(0, len(model_bytes()) - 1))
def test_every_cut_is_noticed(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.onnx"
    path.write_bytes(model_bytes()[:cut])
    with pytest.raises(ModelError):
        read_contract(path)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), at=st.integers(0, len(model_bytes())))
def test_damage_is_a_typed_error_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    whole = model_bytes()
    path.write_bytes(whole[:at] + data + whole[at + len(data) :])
    problem = ""
    try:
        read_contract(path)
    except ModelCorruptError as error:
        problem = str(error)
    assert "\n" not in problem


def test_a_later_entry_wins_as_protobuf_has_it(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model_bytes() + entry("revisage.version", "4"))
    assert read_contract(tmp_path / "m.onnx").version == "4"
