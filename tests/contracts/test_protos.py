"""The contract in `protos/`: linted, documented, and with stubs that are those of the committed files."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def test_buf_lint_finds_nothing() -> None:
    """HOUSE: "Protos: buf STANDARD + COMMENTS lint"."""
    result = subprocess.run([BIN / "buf", "lint"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_committed_stubs_are_those_of_the_protos(tmp_path: Path) -> None:
    """HOUSE: "the generated stubs (*_pb2.py, .pyi, *_pb2_grpc.py) committed beside"."""
    protos = sorted((ROOT / "protos").rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}"]
    outputs = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    subprocess.run([*command, *outputs, *map(str, protos)], check=True, timeout=60)
    generated = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*_pb2*")}
    # Files without a service get an empty gRPC stub, which is not kept.
    services = {proto for proto in protos if "\nservice " in proto.read_text()}
    wanted = {
        path: text
        for path, text in generated.items()
        if not path.name.endswith("_pb2_grpc.py")
        or any(
            path.name == f"{proto.stem}_pb2_grpc.py" and path.parent == proto.relative_to(ROOT / "protos").parent
            for proto in services
        )
    }
    committed = {path.relative_to(ROOT / "protos"): path.read_text() for path in (ROOT / "protos").rglob("*_pb2*.py*")}
    committed = {path: text for path, text in committed.items() if path.suffix in {".py", ".pyi"}}
    assert committed.keys() == wanted.keys()
    stale = [str(path) for path, text in wanted.items() if committed[path] != text]
    assert not stale, "run `make protos`"


@pytest.mark.parametrize("proto", sorted((ROOT / "protos").rglob("*.proto")), ids=lambda path: path.stem)
def test_only_wellknown_files_and_our_own_are_imported(proto: Path) -> None:
    """HOUSE: "only `google/protobuf/*` and `google/rpc/*` imports"."""
    imports = [line.split('"')[1] for line in proto.read_text().splitlines() if line.startswith("import ")]
    allowed = ("google/protobuf/", "google/rpc/", "rollcall/")
    assert [name for name in imports if not name.startswith(allowed)] == []


def test_every_event_of_the_directory_is_in_the_catalogue() -> None:
    """HOUSE: "README.md = rules + event catalogue"."""
    from rollcall.directory.v1 import events_pb2

    catalogue = (ROOT / "protos" / "README.md").read_text()
    events = [name for name in events_pb2.DESCRIPTOR.message_types_by_name if name != "Origin"]
    assert [name for name in events if f"`{name}`" not in catalogue] == []
