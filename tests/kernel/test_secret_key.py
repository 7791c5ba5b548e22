"""The key that signs what people carry away: made once in a home folder, whole from its first moment."""

from __future__ import annotations

import secrets
import stat

from topline.config import environment


def test_nobody_who_starts_beside_the_first_reads_half_a_key(tmp_path, monkeypatch):
    monkeypatch.setenv("TOPLINE_HOME", str(tmp_path))
    monkeypatch.delenv("TOPLINE_SECRET_KEY", raising=False)
    beside, real = [], secrets.token_urlsafe

    def made(length):
        if not beside:  # while the first still makes its key, another starts, and is done sooner
            beside.append("")
            beside[0] = environment.read_environment().secret_key
        return real(length)

    monkeypatch.setattr(environment.secrets, "token_urlsafe", made)
    first = environment.read_environment().secret_key
    assert len(first) >= 64 and beside == [first] == [environment.read_environment().secret_key]
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"], "nothing is left of the key that came second"
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
