import pytest

from convforge.compiler.backend.package_wasm import check_loader, save_loader
from convforge.errors import OutputError
from convforge.page_source import loader
from convforge.version import __version__


def test_the_loader_and_its_types_lie_beside_the_module(tmp_path):
    module = tmp_path / "cats.v2.wasm"
    check_loader(module)
    save_loader(module)
    for kind, text in zip(("js", "d.ts"), loader(), strict=True):
        found = (tmp_path / f"cats.v2.{kind}").read_text()
        assert found.partition("\n")[2] == text
        assert __version__ in found.partition("\n")[0]


def test_a_loader_is_replaced_and_another_file_is_not(tmp_path):
    module = tmp_path / "cats.wasm"
    save_loader(module)
    check_loader(module)
    (tmp_path / "cats.js").write_text("// mine\n")
    with pytest.raises(OutputError, match=r"cats\.js: the module's loader would go there"):
        check_loader(module)
    (tmp_path / "cats.js").unlink()
    (tmp_path / "cats.d.ts").unlink()
    (tmp_path / "cats.d.ts").mkdir()
    with pytest.raises(OutputError, match=r"cats\.d\.ts: the module's loader would go there"):
        check_loader(module)


def test_a_module_cannot_have_its_loaders_name(tmp_path):
    with pytest.raises(OutputError, match="is the name of the module's loader"):
        check_loader(tmp_path / "cats.js")
    with pytest.raises(OutputError, match="does not exist"):
        check_loader(tmp_path / "nowhere" / "cats.wasm")
