"""Runs protoc over a buf image: `generate.py IMAGE OUTPUT_FOLDER`. Called by generate.sh in the tool environment."""

import sys
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

VALIDATE = "buf/validate/validate.proto"


def main(image_path: str, output: str) -> int:
    image = descriptor_pb2.FileDescriptorSet.FromString(Path(image_path).read_bytes())
    kept = descriptor_pb2.FileDescriptorSet()
    for file in image.file:
        if file.name == VALIDATE:
            continue
        dependencies = [name for name in file.dependency if name != VALIDATE]
        del file.dependency[:]
        file.dependency.extend(dependencies)
        kept.file.append(file)
    out = Path(output)
    out.mkdir(parents=True)
    stripped = out / "image.binpb"
    stripped.write_bytes(kept.SerializeToString())
    ours = [file.name for file in kept.file if file.name.startswith("penstock/")]
    status = protoc.main(
        [
            "protoc",
            f"--descriptor_set_in={stripped}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *ours,
        ]
    )
    stripped.unlink()
    for path in sorted(out.rglob("*_pb2_grpc.py")):
        if "_to_server(servicer" not in path.read_text():
            path.unlink()
    for folder in [out / "penstock" / "api", *(p for p in (out / "penstock" / "api").rglob("*") if p.is_dir())]:
        (folder / "__init__.py").write_text('"""Generated from protos/ by `make protos`. Do not edit."""\n')
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
