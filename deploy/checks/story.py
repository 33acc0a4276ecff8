"""A small sales department, and the story from a request to the money, told through the gateway."""

import base64
import datetime
import hashlib
import secrets
import uuid

from .client import Refused
from .report import eventually

# What is sold: 3 × 10.03 and 22 % on top, three such lines; with VAT rounded on each line.
GROSS = {"currencyCode": "RUB", "units": "110", "nanos": 130000000}


def new():
    """A new request id."""
    return str(uuid.uuid4())


def roubles(units, nanos=0):
    """A sum."""
    return {"currencyCode": "RUB", "units": str(units), "nanos": nanos}


class Department:
    """A team with a manager on shift and a head, an accountant, a director, and a system that proves read models."""

    def __init__(self, admin):
        team = {"displayName": "Отдел продаж № 1", "regionCode": "RU-MOW"}
        self.team = admin.post("/v1/teams", {"requestId": new(), "team": team})["team"]["name"]
        self.manager, person = self._person(admin, "Анна Ёлкина", "ROLE_MANAGER")
        self.head, _ = self._person(admin, "Вера Юрьева", "ROLE_HEAD_OF_DEPARTMENT", [self.team])
        self.accountant, _ = self._person(admin, "Глеб Эрин", "ROLE_ACCOUNTANT")
        self.director, _ = self._person(admin, "Дина Жук", "ROLE_COMMERCIAL_DIRECTOR")
        self.prover = self._principal(admin, {
            "displayName": "Prover", "roles": ["ROLE_SERVICE_ACCOUNT"],
            "permissions": ["projections.read", "projections.rebuild"]})
        admin.post(f"/v1/{person}:setShift", {"requestId": new(), "onShift": True, "capacity": 100000})

    def _person(self, admin, name, role, heads=()):
        person = {"displayName": name, "team": self.team}
        person = admin.post("/v1/people", {"requestId": new(), "person": person})["person"]["name"]
        principal = {"displayName": name, "person": person, "roles": [role], "teams": list(heads)}
        return self._principal(admin, principal), person

    @staticmethod
    def _principal(admin, principal):
        """A door in a new principal's name. Its key is made here: only the secret's digest goes to the suite."""
        principal = admin.post("/v1/principals", {"requestId": new(), "principal": principal})["principal"]["name"]
        secret = secrets.token_hex(32)
        key = {"requestId": new(), "apiKey": {"principal": principal, "displayName": "check"},
               "secretDigest": _base64(hashlib.sha256(secret.encode()).digest())}
        name = admin.post("/v1/apiKeys", key)["apiKey"]["name"]
        door = admin.of(f"{name.removeprefix('apiKeys/')}.{secret}")
        eventually("a new key works", lambda: door.get("/v1/caller"))
        return door


def _base64(data):
    return base64.b64encode(data).decode()


class Story:
    """One telling. Each step waits for the fact from another service that it stands on."""

    def __init__(self, staff):
        self.staff, self.seed = staff, new()
        self.lead = self.client = self.deal = self.contract = self.order = self.invoice = None

    def tell(self):
        """Tells all of it and checks what comes out."""
        manager, accountant = self.staff.manager, self.staff.accountant
        self.lead = self.staff.director.post("/v1/leads:submit", submission(self.seed))["lead"]["name"]
        manager.post(f"/v1/{self.lead}:logContact", {
            "requestId": new(), "kind": "CONTACT_KIND_CALL", "outcome": "CONTACT_OUTCOME_REACHED", "note": "завтра"})
        made = manager.post(f"/v1/{self.lead}:convert", {"requestId": new()})
        self.client, self.deal = made["client"]["name"], made["deal"]["name"]
        manager.post(f"/v1/{self.deal}:describe", {"requestId": new(), "need": "Оснастить склад", "amount": GROSS})
        self._enter("proposal")
        self._contract()
        self._enter("contract")
        self.order = manager.post("/v1/orders", {"requestId": new(), "contract": self.contract})["order"]["name"]
        manager.post(f"/v1/{self.order}:confirm", {"requestId": new()})
        self.invoice = eventually("the invoice is issued", self._find_invoice)
        self._enter("payment")
        self._pay(10, 130000000)
        self._pay(100, 0)
        self._enter("paid")
        won = manager.post(f"/v1/{self.deal}:markWon", {"requestId": new()})
        invoice = accountant.get(f"/v1/{self.invoice}")["invoice"]
        assert invoice["gross"] == GROSS, invoice
        report = self.staff.director.get("/v1/reports/won", atLeast=won["change"])
        assert report, "the report of what was won is empty"

    def _contract(self):
        line = {"quantity": {"value": "3"}, "unitCode": "pcs", "unitPrice": {"value": "10.03"}, "vatRate": "VAT_RATE_22"}
        lines = [dict(line, displayName=f"Стеллаж № {number}") for number in (1, 2, 3)]
        draft = {"requestId": new(), "deal": self.deal, "currencyCode": "RUB", "lines": lines}
        contract = self.staff.manager.post("/v1/contracts", draft)["contract"]
        assert contract["gross"] == GROSS, contract
        self.contract = contract["name"]
        self.staff.manager.post(f"/v1/{self.contract}:requestApproval", {"requestId": new()})
        approval = {"requestId": new(), "documentHash": contract["documentHash"]}
        # The head reaches the contract once contracts has read whose deal it is.
        self._once(self.staff.head, f"/v1/{self.contract}:approve", approval, {"CONTRACT_NOT_FOUND"})
        self.staff.manager.post(f"/v1/{self.contract}:sign", {"requestId": new()})

    def _enter(self, stage):
        body = {"requestId": new(), "stage": stage}
        self._once(self.staff.manager, f"/v1/{self.deal}:advanceStage", body, {"GATE_SHUT"})

    def _pay(self, units, nanos):
        amount = roubles(units, nanos)
        body = payment(self.client, amount, f"{self.seed}-{units}")
        body["allocations"] = [{"invoice": self.invoice, "amount": amount}]
        self._once(self.staff.accountant, "/v1/payments", body, {"CLIENT_NOT_FOUND"})

    def _find_invoice(self):
        found = self.staff.accountant.get("/v1/invoices", order=self.order).get("invoices")
        return found and found[0]["name"]

    @staticmethod
    def _once(door, path, body, not_yet):
        """Sends a request until what it waits for is there."""
        def ask():
            try:
                return door.post(path, body)
            except Refused as refused:
                if refused.reason in not_yet:
                    return None
                raise
        return eventually(f"{path} is let through", ask)


def submission(ref):
    """A request from the site."""
    contact = {"displayName": "ООО «Ёжик и партнёры»", "email": f"{ref}@example.org"}
    return {"requestId": new(), "channel": "CHANNEL_SITE", "origin": "yandex_direct", "sourceRef": f"form-{ref}",
            "contact": contact, "text": "Сколько стоит ваша продукция?"}


def payment(client, amount, ref):
    """Money that came in today."""
    today = datetime.date.today()
    date = {"year": today.year, "month": today.month, "day": today.day}
    return {"requestId": new(), "client": client, "amount": amount, "bankRef": f"bank-{ref}", "valueDate": date}
