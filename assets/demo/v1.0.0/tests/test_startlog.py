import shop
from shop import startlog


def test_a_start_is_one_line(monkeypatch, tmp_path):
    path = tmp_path / "starts"
    monkeypatch.setenv("SHOP_START_LOG", str(path))
    startlog.record("web")
    startlog.record("worker")
    first, second = path.read_text().splitlines()
    assert first.split()[:2] == ["web", shop.__version__]
    assert second.startswith("worker ")


def test_nothing_is_kept_where_nobody_asked(monkeypatch, tmp_path):
    monkeypatch.delenv("SHOP_START_LOG", raising=False)
    monkeypatch.chdir(tmp_path)
    startlog.record("web")
    assert not list(tmp_path.iterdir())
