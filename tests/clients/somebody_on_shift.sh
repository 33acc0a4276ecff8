#!/usr/bin/env bash
# A team with one person on shift, so that a fresh suite has somebody to give requests to.
#
#     somebody_on_shift.sh 127.0.0.1:7400 "$(otdel token)"
#
# It may run again: these request ids get the first answers for 30 days.
set -euo pipefail
address=$1 key=$2

post() { # PATH BODY
  curl -sS --fail-with-body -H "Authorization: Bearer $key" "http://$address/v1/$1" -d "$2"
}

team=$(post teams '{"requestId": "5a1e5000-0000-4000-8000-000000000001",
  "team": {"displayName": "Отдел продаж № 1", "regionCode": "RU-MOW"}}' | jq -r .team.name)
person=$(post people '{"requestId": "5a1e5000-0000-4000-8000-000000000002",
  "person": {"displayName": "Борис Щукин", "team": "'"$team"'"}}' | jq -r .person.name)
post "$person:setShift" '{"requestId": "5a1e5000-0000-4000-8000-000000000003", "onShift": true, "capacity": 1000}' |
  jq -r '"on shift: \(.person.name)"'
