#!/usr/bin/env bash
# Otdel from a shell over gRPC: buf curl asks the server by reflection what its RPCs are, and jq reads the answers.
#
#     pip install buf-bin
#     buf_curl.sh 127.0.0.1:7400 "$(otdel token)"
#
# A request arrives, is answered and becomes a deal; then what happened is read from the feed.
set -euo pipefail
set -m # A stream is a process group of its own, so that it can be broken off whole.
address=$1 key=$2
leads=otdel.leads.v1.LeadService deals=otdel.leads.v1.DealService events=otdel.leads.v1.LeadEventService
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkfifo "$tmp/feed"

# A request id: a new one for each intent, the same one for each attempt at it. Keep it before you send.
new_id() { cat /proc/sys/kernel/random/uuid; }

send() { # RPC REQUEST: the answer, or the refusal on the standard error
  buf curl --protocol grpc --connect-timeout 5 -H "Authorization: Bearer $key" -d "$2" "http://$address/$1"
}

# buf leaves the details of a refusal encoded: these are google.rpc's.
cat >"$tmp/details.proto" <<'PROTO'
syntax = "proto3";
package google.rpc;
message ErrorInfo {
  string reason = 1;
  string domain = 2;
  map<string, string> metadata = 3;
}
message BadRequest {
  message FieldViolation {
    string field = 1;
    string description = 2;
  }
  repeated FieldViolation field_violations = 1;
}
PROTO

detail() { # NAME: that detail of the last refusal as JSON, null where it has none
  local value
  value=$(jq -r --arg type "google.rpc.$1" '.details[]? | select(.type == $type) | .value' "$tmp/refusal")
  [ -n "$value" ] || { echo null && return; }
  while [ $((${#value} % 4)) -ne 0 ]; do value+="="; done
  base64 -d <<<"$value" | buf convert "$tmp/details.proto" --type "google.rpc.$1" --from -#format=binpb --to -#format=json
}

# A refusal as somebody reads it who has to do something about it. Decide on the reason, never on the text.
show_refusal() {
  detail ErrorInfo >"$tmp/info"
  detail BadRequest >"$tmp/bad"
  jq -r --slurpfile info "$tmp/info" --slurpfile bad "$tmp/bad" '
    "refused: \(.code | ascii_upcase) \($info[0].reason) \($info[0].metadata // "")",
    "  \(.message)",
    ($bad[0].fieldViolations[]? | "  \(.field): \(.description)")' "$tmp/refusal"
}

call() { # RPC REQUEST: the answer; the same request is sent again while the server cannot be reached
  local code
  for pause in 0.1 0.2 0.5 1 2 stop; do
    code=0
    send "$1" "$2" 2>"$tmp/refusal" && return || code=$?
    # 112 is UNAVAILABLE (the code, times 8); what is below 8 did not get as far as an answer.
    [ "$pause" != stop ] && { [ "$code" = 112 ] || [ "$code" -lt 8 ]; } || break
    sleep "$pause"
  done
  show_refusal >&2
  return "$code"
}

follow() { # CURSOR: a line "cursor position id type" for each item, "-" for an id and type where the place moved alone
  send "$events/Subscribe" '{"startAfter": "'"$1"'", "subjects": ["'"$lead"'", "'"$deal"'"]}' 2>"$tmp/end" |
    jq --unbuffered -r '(.event.envelope // .checkpoint // .caughtUp) |
      "\(.cursor) \(.position) \(.eventId // "-") \(.type // "-")"'
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
      [ "$type" = - ] || echo "event $position $type"
      cursor=$next
      if "$1" "$id"; then
        kill -- "-$stream" 2>/dev/null || true
        wait "$stream" 2>/dev/null || true
        return
      fi
    done <"$tmp/feed"
    wait "$stream" || true
    # Without a detail no server said it: the connection broke, and buf calls it internal where that was inside of a message.
    case $(jq -r 'if .details then .code else "unavailable" end' "$tmp/end" 2>/dev/null) in
      "" | unavailable) sleep 0.1 ;;
      *)
        cat "$tmp/end" >&2 # data_loss: the server was restored to an earlier state. Begin again with an empty cursor.
        return 1
        ;;
    esac
  done
}

call $leads/SubmitLead '{"requestId": "'"$(new_id)"'", "channel": "CHANNEL_SITE", "contact": {"phone": "12"}}' 2>&1 || true

request='{"requestId": "'"$(new_id)"'", "channel": "CHANNEL_SITE", "sourceRef": "form-'"$(new_id)"'",
  "contact": {"displayName": "Анна Ёлкина", "email": "'"$(new_id)"'@example.org"},
  "text": "Сколько стоит ваша продукция?"}'
answer=$(call $leads/SubmitLead "$request")
lead=$(jq -r .lead.name <<<"$answer")
echo "submitted: $lead"
[ "$(call $leads/SubmitLead "$request")" = "$answer" ] && echo "sent again: the same answer"
[ "$(jq -r .lead.owner <<<"$answer")" != null ] ||
  { echo "nobody is on shift: on a fresh suite run somebody_on_shift.sh first" >&2 && exit 1; }

call $leads/LogContact '{"requestId": "'"$(new_id)"'", "name": "'"$lead"'",
  "kind": "CONTACT_KIND_CALL", "outcome": "CONTACT_OUTCOME_REACHED"}' >/dev/null
deal=$(call $leads/ConvertLead '{"requestId": "'"$(new_id)"'", "name": "'"$lead"'"}' | jq -r .deal.name)
call $deals/DescribeDeal '{"requestId": "'"$(new_id)"'", "name": "'"$deal"'", "need": "Оснастить склад до конца квартала",
  "amount": {"currencyCode": "RUB", "units": "110", "nanos": 130000000}}' >/dev/null
call $deals/AdvanceStage '{"requestId": "'"$(new_id)"'", "name": "'"$deal"'", "stage": "paid"}' 2>&1 || true
answer=$(call $deals/AdvanceStage '{"requestId": "'"$(new_id)"'", "name": "'"$deal"'", "stage": "proposal"}')
echo "deal: $deal at stage $(jq -r .deal.stage <<<"$answer")"

is_contact() { [ "$type" = otdel.leads.v1.LeadContacted ]; }
is_last() { [ "leads/$1" = "$(jq -r .change <<<"$answer")" ]; }
cursor=
show_events_until is_contact
echo "broken off, going on after the last cursor"
show_events_until is_last
