"""Which release this is."""

import os

VERSION = "0.2.0"

_COMMIT_VARIABLES = ("HEROKU_BUILD_COMMIT", "HEROKU_SLUG_COMMIT", "SOURCE_VERSION", "GIT_COMMIT")
"""Where platforms say which commit was deployed."""


def release() -> str:
    """Return the version, with the commit behind it where the platform says that."""
    commit = next(filter(None, map(os.environ.get, _COMMIT_VARIABLES)), "")
    return f"{VERSION}+{commit[:8]}" if commit.isalnum() else VERSION
