"""A client of the gateway's JSON form that does what every client should: the same request again, at most twice."""

import concurrent.futures
import http.client
import json
import threading
import time
import urllib.parse

# Pauses before the second and the third try, in seconds.
PAUSES = [0.5, 2.0]
# What says that the outcome is unknown or that another try may help.
PASSING = {408, 425, 429, 499, 500, 502, 503, 504}


class Refused(Exception):
    """A call's last answer, which is no success."""

    def __init__(self, path, status, body):
        self.status, self.reason = status, body.get("reason", "")
        super().__init__(f"{path}: {status} {self.reason} {body.get('detail', '')}")


class Door:
    """The gateway, at one or several addresses, in somebody's name."""

    def __init__(self, ports, key=None, acknowledged=None, local=None):
        # One list for everybody, so that all learn of it when the gateway is published elsewhere.
        self.ports, self.key = ports, key
        # Every mutation that was acknowledged: its path, its body, and the answer's bytes.
        self.acknowledged = [] if acknowledged is None else acknowledged
        # Each thread's connection, whoever calls on it: the gateway bounds the connections of one address.
        self.local = local or threading.local()

    def of(self, key):
        """The same gateway in another's name; what is acknowledged is noted in the same list."""
        return Door(self.ports, key, self.acknowledged, self.local)

    def get(self, path, tries=3, **query):
        """Reads something."""
        query = urllib.parse.urlencode(query, doseq=True)
        return json.loads(self.call("GET", f"{path}?{query}" if query else path, None, tries)[0])

    def post(self, path, body, patience=10, log=True):
        """Changes something. The body has the request's id, so that a further try is the same request."""
        answer, _ = self.call("POST", path, json.dumps(body).encode(), patience=patience)
        if log:
            self.acknowledged.append((self.key, path, body, answer))
        return json.loads(answer)

    def call(self, method, path, body, tries=3, patience=10):
        """One call with at most `tries` tries of at most `patience` seconds. Returns the answer's bytes and how many tries it took."""
        for attempt in range(tries):
            if attempt:
                time.sleep(PAUSES[min(attempt, len(PAUSES)) - 1])
            try:
                status, answer = self._try(method, path, body, attempt, patience)
            except (OSError, http.client.HTTPException) as error:
                status, answer = 0, json.dumps({"reason": type(error).__name__, "detail": str(error)}).encode()
            if status == 200:
                return answer, attempt + 1
            if status not in PASSING | {0}:
                break
        try:
            raise Refused(path, status, json.loads(answer))
        except ValueError:
            raise Refused(path, status, {"detail": answer[:200].decode(errors="replace")}) from None

    def _try(self, method, path, body, attempt, patience=10):
        # A further try goes to the next address, and never on a connection that failed.
        last = getattr(self.local, "port", None)
        if attempt or last not in self.ports:
            self._hang_up()
            at = (self.ports.index(last) + 1) % len(self.ports) if last in self.ports else 0
            self.local.port = self.ports[at]
        if getattr(self.local, "connection", None) is None:
            self.local.connection = http.client.HTTPConnection("127.0.0.1", self.local.port)
        self.local.connection.timeout = patience + 2
        if self.local.connection.sock is not None:
            self.local.connection.sock.settimeout(patience + 2)
        headers = {"grpc-timeout": f"{patience}S"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self.local.connection.request(method, path, body, headers)
            response = self.local.connection.getresponse()
            answer = response.read()
        except BaseException:
            self._hang_up()
            raise
        if response.will_close:
            self._hang_up()
        return response.status, answer

    def _hang_up(self):
        if getattr(self.local, "connection", None) is not None:
            self.local.connection.close()
        self.local.connection = None

    def every_answer_stands(self):
        """Sends every acknowledged request once more: each must get its first answer, byte for byte, which shows that
        none was lost. Returns how many there were."""
        log = list(self.acknowledged)
        doors = {key: self.of(key) for key, *_ in log}
        def stands(one):
            key, path, body, answer = one
            again, _ = doors[key].call("POST", path, json.dumps(body).encode(), tries=5)
            assert again == answer, f"{path} {body['requestId']} is answered otherwise than at first"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return len(list(pool.map(stands, log)))
