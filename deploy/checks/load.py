"""A steady load on all services: every call is sent at most three times, and what failed after that is counted."""

import collections
import json
import threading
import time

from .client import Refused
from .report import eventually
from .story import new, payment, roubles, submission


class Load:
    """Callers that each send one call after another at a steady pace, until they are stopped."""

    def __init__(self, staff, client, callers=6, per_second=60):
        self.staff, self.client = staff, client
        self.callers, self.pause = callers, callers / per_second
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = []
        self.reset()

    def reset(self):
        """Begins to count anew."""
        with self.lock:
            self.answered, self.again, self.slowest, self.in_a_row = 0, 0, 0.0, 0
            self.failed = collections.Counter()

    def __enter__(self):
        self.threads = [threading.Thread(target=self._call, args=(one,), daemon=True) for one in range(self.callers)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def _call(self, caller):
        number, due = caller, time.monotonic()
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                tries = self._one(number)
                with self.lock:
                    self.answered += 1
                    self.in_a_row += 1
                    self.again += tries - 1
                    self.slowest = max(self.slowest, time.monotonic() - began)
            except Refused as refused:
                with self.lock:
                    self.in_a_row = 0
                    self.failed[str(refused)[:160]] += 1
            number += self.callers
            due = max(due + self.pause, time.monotonic() - self.pause)
            self.stopping.wait(max(0, due - time.monotonic()))

    def _one(self, number):
        """Of six calls three go to leads, one to each other service. Returns how many tries it took."""
        ref = f"load-{new()}"
        kind = number // self.callers % 6
        if kind % 2 == 0:
            return self._post(self.staff.director, "/v1/leads:submit", submission(ref))
        if kind == 1:
            return self._post(self.staff.accountant, "/v1/payments", payment(self.client, roubles(1), ref))
        path = "/v1/contracts?pageSize=5" if kind == 3 else "/v1/reports/won"
        return self.staff.director.call("GET", path, None)[1]

    @staticmethod
    def _post(door, path, body):
        answer, tries = door.call("POST", path, json.dumps(body).encode())
        door.acknowledged.append((door.key, path, body, answer))
        return tries

    def goes_on(self, calls=36):
        """Waits until so many calls in a row are answered, from now on: each caller asks every service meanwhile."""
        with self.lock:
            self.in_a_row = 0
        eventually(f"{calls} calls in a row are answered", lambda: self.in_a_row >= calls, 30)

    def told(self):
        """The count in words."""
        return f"{self.answered} calls, {self.again} tried again, {sum(self.failed.values())} failed, " \
               f"slowest {self.slowest:.1f} s"

    def none_failed(self):
        """Fails with the reasons of the calls that failed."""
        assert not self.failed, f"{self.told()}: {dict(self.failed.most_common(3))}"
        assert self.answered > 50, f"only {self.answered} calls were made"
