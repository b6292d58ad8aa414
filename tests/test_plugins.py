"""Ten plugins, each one file: the check of an outsider passes, and one command with all of them ends in a report."""

from pathlib import Path

import pytest

import run_all

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "plugins"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))


def test_each_is_one_file_of_sixty_lines_at_most() -> None:
    assert len(EXAMPLES) == 9
    for name in EXAMPLES:
        assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 60, name


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.mark.usefixtures("own_entries")
@pytest.mark.parametrize("name", EXAMPLES)
def test_it_passes_the_check(name: str, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_all.main(["--plugin", str(FOLDER / f"{name}.py"), "--check", "--data-dir", str(data_dir)])
    out, err = capsys.readouterr()
    assert code == 0, out + err
    assert out and all(line.startswith("ok ") for line in out.splitlines()), out
