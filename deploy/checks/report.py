"""One line a check: `ok` or `FAILED`, what, and how long it took."""

import contextlib
import signal
import sys
import time


class Report:
    """Prints the lines and remembers the failures."""

    def __init__(self):
        self.began = time.monotonic()
        self.checks = 0
        self.failures = []

    @contextlib.contextmanager
    def check(self, what):
        """Runs a check. It fails by an exception, whose text is told; the checks after it go on.

        What is yielded collects figures for the line."""
        began, told = time.monotonic(), []
        self.checks += 1
        try:
            yield told.append
        except (KeyboardInterrupt, OutOfTime):
            self._line("FAILED", what, began, ["broken off"])
            self.failures.append(what)
            raise
        except Exception as error:  # whatever it is, it is this check's failure
            self._line("FAILED", what, began, [f"{type(error).__name__}: {error}"])
            self.failures.append(what)
        else:
            self._line("ok", what, began, told)

    @staticmethod
    def _line(outcome, what, began, told):
        details = f": {'; '.join(told)}" if told else ""
        print(f"{outcome:<7} {what}{details} ({time.monotonic() - began:.1f} s)", flush=True)

    def end(self):
        """Prints the sum and returns the exit code."""
        took = time.monotonic() - self.began
        outcome = f"{len(self.failures)} of {self.checks} checks FAILED" if self.failures else f"{self.checks} checks ok"
        print(f"{outcome}, {took // 60:.0f} min {took % 60:.0f} s", flush=True)
        return 1 if self.failures or not self.checks else 0


class OutOfTime(BaseException):
    """The whole run took too long. No `Exception`, so that no check takes it for its own failure."""


def limit(seconds):
    """Ends the run after this long, whatever it waits for."""

    def end(*_):
        raise OutOfTime

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)
    signal.alarm(seconds)


def note(text):
    """Says something beside the checks."""
    print(f"        {text}", file=sys.stderr, flush=True)


def eventually(what, ask, patience=60):
    """Asks again and again until `ask` returns something true, and returns that."""
    end, last = time.monotonic() + patience, "nothing"
    while True:
        try:
            answer = ask()
            if answer:
                return answer
        except Exception as error:  # it may not be there yet; the last reason is told
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {patience} s ({last})")
        time.sleep(0.2)
