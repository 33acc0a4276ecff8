#!/usr/bin/env bash
# Otdel from a shell over JSON: curl calls, jq reads. `/openapi.json` of the gateway describes every path.
#
#     curl.sh 127.0.0.1:7400 "$(otdel token)"
#
# A request arrives, is answered and becomes a deal; then what happened is read from the feed.
set -euo pipefail
set -m # A stream is a process group of its own, so that it can be broken off whole.
address=$1 key=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkfifo "$tmp/feed"

# A request id: a new one for each intent, the same one for each attempt at it. Keep it before you send.
new_id() { cat /proc/sys/kernel/random/uuid; }

# A refusal as somebody reads it who has to do something about it. Decide on the reason, never on the text.
show_refusal() { # FILE
  jq -r '"refused: \(.code) \(.reason) \(.metadata // "")", "  \(.detail)",
    (.violations[]? | "  \(.field): \(.description)")' "$1"
}

# The answer, or the refusal on the standard error. Every call reads or carries a request id, so curl may send it again
# when the server cannot be reached, sheds load or went away with the answer; it waits as long as `retry-after` says.
post() { # PATH REQUEST
  local status
  status=$(curl -sS --connect-timeout 5 --max-time 10 --retry 5 --retry-connrefused --retry-all-errors \
    -H "Authorization: Bearer $key" -o "$tmp/answer" -w '%{http_code}' -d "$2" "http://$address/v1/$1")
  if [ "$status" = 200 ]; then
    cat "$tmp/answer"
  else
    show_refusal "$tmp/answer" >&2
    return 1
  fi
}

follow() { # CURSOR: a line "cursor position id type" for each item, "-" for an id and type where the place moved alone
  local query=(-d "startAfter=$1" -d "subjects=$lead" -d "subjects=$deal")
  # Each message is a line of JSON. A stream that does not end well has a last line with an error.
  curl -sSN --get --connect-timeout 5 -H "Authorization: Bearer $key" "${query[@]}" \
    "http://$address/v1/leadEvents:subscribe" 2>/dev/null | jq --unbuffered -r '
      if .error or .code then (.error // .) | "end \(.code) \(.reason)"
      else (.event.envelope // .checkpoint // .caughtUp) |
        "\(.cursor) \(.position) \(.eventId // "-") \(.type // "-")" end' 2>/dev/null
}

# Shows the events after $cursor until `enough` holds for one of them. When a stream ends, once a minute by design
# (REAUTHORIZE) or because the server or the connection went away, the next one goes on where it ended. Keep each event's
# cursor in the same transaction as what you do about the event: then it is done once, whatever breaks.
show_events_until() { # ENOUGH
  local next position id type
  while true; do
    follow "$cursor" >"$tmp/feed" &
    local stream=$!
    while read -r next position id type; do
      case "$next $position" in
        "end UNAVAILABLE") break ;;
        end*)
          # CURSOR_DIVERGED: the server was restored to an earlier state. Begin again with an empty cursor.
          echo "refused: $position $id" >&2
          return 1
          ;;
      esac
      [ "$type" = - ] || echo "event $position $type"
      cursor=$next
      if "$1" "$id"; then
        kill -- "-$stream" 2>/dev/null || true
        wait "$stream" 2>/dev/null || true
        return
      fi
    done <"$tmp/feed"
    wait "$stream" || true
    sleep 0.1
  done
}

post leads:submit '{"requestId": "'"$(new_id)"'", "channel": "CHANNEL_SITE", "contact": {"phone": "12"}}' 2>&1 || true

request='{"requestId": "'"$(new_id)"'", "channel": "CHANNEL_SITE", "sourceRef": "form-'"$(new_id)"'",
  "contact": {"displayName": "Анна Ёлкина", "email": "'"$(new_id)"'@example.org"},
  "text": "Сколько стоит ваша продукция?"}'
answer=$(post leads:submit "$request")
lead=$(jq -r .lead.name <<<"$answer")
echo "submitted: $lead"
[ "$(post leads:submit "$request")" = "$answer" ] && echo "sent again: the same answer"
[ "$(jq -r .lead.owner <<<"$answer")" != null ] ||
  { echo "nobody is on shift: on a fresh suite run somebody_on_shift.sh first" >&2 && exit 1; }

post "$lead:logContact" '{"requestId": "'"$(new_id)"'", "kind": "CONTACT_KIND_CALL",
  "outcome": "CONTACT_OUTCOME_REACHED"}' >/dev/null
deal=$(post "$lead:convert" '{"requestId": "'"$(new_id)"'"}' | jq -r .deal.name)
post "$deal:describe" '{"requestId": "'"$(new_id)"'", "need": "Оснастить склад до конца квартала",
  "amount": {"currencyCode": "RUB", "units": "110", "nanos": 130000000}}' >/dev/null
post "$deal:advanceStage" '{"requestId": "'"$(new_id)"'", "stage": "paid"}' 2>&1 || true
answer=$(post "$deal:advanceStage" '{"requestId": "'"$(new_id)"'", "stage": "proposal"}')
echo "deal: $deal at stage $(jq -r .deal.stage <<<"$answer")"

is_contact() { [ "$type" = otdel.leads.v1.LeadContacted ]; }
is_last() { [ "leads/$1" = "$(jq -r .change <<<"$answer")" ]; }
cursor=
show_events_until is_contact
echo "broken off, going on after the last cursor"
show_events_until is_last
