"""What `flask --app wsgi doctor` looks at."""

from collections.abc import Iterator

from config import Config
from vton.doctor.parts import look_at_figures, look_at_parts
from vton.doctor.settings import look_at_settings
from vton.operations.model import Finding
from vton.wiring import Services


def look_at_everything(config: Config, services: Services) -> Iterator[Finding]:
    """Yield what is found: first of the settings, then of the parts that they name."""
    yield from look_at_settings(config)
    yield from look_at_parts(config, services)
    yield from look_at_figures(services)
