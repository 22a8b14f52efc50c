"""What a browser complained of while a test drove it."""

from playwright.sync_api import ConsoleMessage, Page


class Complaints(list[str]):
    """What the browser complained of: errors, warnings, violations of the page's policy."""

    def listen(self, page: Page) -> None:
        """Write down what this page says from now on."""
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.append(f"uncaught: {error}"))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.append(f"{message.type}: {message.text}")

    def expect(self, *parts: str) -> None:
        """Strike out the complaints that contain one of `parts`; at least one must be there."""
        kept = [text for text in self if not any(part in text for part in parts)]
        assert len(kept) < len(self), f"nobody complained of {parts}"
        self[:] = kept
