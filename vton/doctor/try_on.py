"""One paid try-on with a sample photo, to see with one's own eyes that the garment is put on."""

import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from vton.errors import Problem, Unavailable
from vton.tryon.model import photo_path
from vton.tryon.ports.database import Outcome
from vton.tryon.ports.provider import (
    FormRefused,
    Inputs,
    PermanentError,
    ProviderError,
    RetryableError,
    TaskNotFound,
)
from vton.wiring import Services

PHOTO = Path(__file__).parents[1] / "demo" / "static" / "photos" / "mei.jpg"
NOBODY = "00000000-0000-0000-0000-000000000000"
PATIENCE_SECONDS = 300.0


def make_try_on(services: Services, poll_interval: float, output: str) -> Iterator[str]:
    """Make it, with the newest garment, and store its picture in `output`; yield what is done.

    It stands in the ledger, and counts against the day's cap. Raises Problem, Unavailable.
    """
    file = Path(output)
    try:
        file.touch()  # before anything is paid for
    except OSError as error:
        raise Unavailable(f"{output} cannot be written ({error.strerror})") from None
    garments = services.garments.table.list(None, 1, None)
    if not garments:
        raise Unavailable("there is no garment: flask --app wsgi garments import FOLDER")
    photo = photo_path(NOBODY, int(datetime.now(UTC).timestamp() * 1000))
    services.pictures.put(photo, PHOTO.read_bytes(), "image/jpeg", replace=True)
    try:
        yield f"The photo {PHOTO.name} with {garments[0].name!r} …"
        inputs = services.provider.prepare(photo, garments[0].picture)
        picture = yield from _have_it_made(services, inputs, poll_interval)
    except ProviderError as fault:
        raise Unavailable(f"the provider: {fault}") from None
    finally:
        services.pictures.remove([photo])
    file.write_bytes(picture)
    kind = services.photos.kind_of_result(picture, PHOTO.read_bytes())
    names = services.provider.accepted_form.split(",")
    both = " were sent, and one was taken" if names[1:] else ""
    yield f"The garment's field: {' and '.join(names)}{both}."
    if kind in ("photo", "blank"):
        yield f"The result is {'the photo itself' if kind == 'photo' else 'blank'}: set"
        yield "PIXAZO_GARMENT_FIELD to cloth_image or image_tail alone, and try again."
    yield f"The picture is in {output}: look whether the garment was really put on."


def _have_it_made(
    services: Services, inputs: Inputs, poll_interval: float
) -> Generator[str, None, bytes]:
    """Submit, in as many forms as are refused, and wait for the picture."""
    while True:
        attempt = str(uuid4())
        services.ledger.open(attempt, str(uuid4()), NOBODY)
        try:
            task = services.provider.submit(inputs)
        except FormRefused as refusal:
            services.ledger.record_outcome(attempt, Outcome.NOT_ACCEPTED)
            yield f"Another form of the request: {refusal}"
            inputs = refusal.alternative
            continue
        except PermanentError as failure:
            uncertain = failure.code == "provider_uncertain"
            outcome = Outcome.UNCERTAIN if uncertain else Outcome.NOT_ACCEPTED
            services.ledger.record_outcome(attempt, outcome)
            raise
        except ProviderError:
            services.ledger.record_outcome(attempt, Outcome.NOT_ACCEPTED)
            raise
        yield f"Accepted: task {task.id}."
        services.ledger.record_outcome(attempt, Outcome.ACCEPTED, task)
        break
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_SECONDS:
        time.sleep(poll_interval)
        try:
            progress = services.provider.poll(task)
        except (RetryableError, TaskNotFound):
            continue
        if progress.failure is not None:
            raise Problem(progress.failure)
        if progress.result_url is not None:
            yield f"Ready after {time.monotonic() - began:.1f} s, for a while at the provider's"
            yield progress.result_url
            return services.provider.download_result(progress.result_url)
    raise Unavailable(f"the provider was not done within {PATIENCE_SECONDS:g} s")
