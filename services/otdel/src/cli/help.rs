//! What the commands' long help says after the flags: how it is done, and what comes next.

pub const EXIT_CODES: &str = "\
Exit codes:
  0  done, and all is well
  1  the command failed, or `verify` and `restore-finish` found something wrong
  2  the command line is wrong
  3  `verify`: nothing is wrong, but followers have yet to read again; start the services and ask again
  4  `import`: some lines were refused; the rest is taken in

`otdel COMMAND --help` has examples. `otdel settings` prints every flag and environment variable.";

pub const UP: &str = "\
Examples:
  otdel up                              everything in one process, on a private PostgreSQL
  otdel up --install-postgres           the same where PostgreSQL is not installed yet
  otdel up --database-url URL           on a database of yours

It runs until SIGINT or SIGTERM and starts again on the same data.
Next: the first call that it prints; `otdel token` prints the key for further ones.";

pub const SERVE: &str = "\
Examples:
  otdel serve leads --secrets /etc/otdel --database-url postgres://db/otdel
  otdel serve leads billing --secrets /etc/otdel --database-url postgres://db/otdel

Before: `otdel init` makes the secrets and `otdel migrate` the schemas.
Next: `otdel healthcheck` asks whether a role is ready.";

pub const INIT: &str = "\
Examples:
  otdel init --secrets /etc/otdel
  otdel init --secrets /etc/otdel --admin-key admin.key --database-url URL     once the database is migrated
  otdel init --secrets /etc/otdel --renew                                      certificates, at any time

A second time it changes nothing but certificates that are about to end. Where nobody is left who may make principals and
keys, such as after the last administrator's key has ended, it appoints whom it is told to once more.
Next: `otdel migrate`, then `otdel serve`.";

pub const MIGRATE: &str = "\
Examples:
  otdel migrate --secrets /etc/otdel --database-url postgres://postgres@db/otdel
  otdel migrate --secrets /etc/otdel --database-url URL --roles-only     before pg_restore into a fresh cluster

A second time it changes nothing. Services of the version before go on working meanwhile.
Next: `otdel serve`; after a restore `otdel restore-finish`.";

pub const TOKEN: &str = "\
Example:
  curl -H \"Authorization: Bearer $(otdel token)\" http://127.0.0.1:7400/v1/leads";

pub const HEALTHCHECK: &str = "\
Example:
  otdel healthcheck --address 127.0.0.1:9400

It asks where the role was told to serve its metrics (--metrics-listen), and waits 3 s at most.";

pub const REPORT: &str = "\
Examples:
  otdel report --list
  otdel report leads --by month,channel
  otdel report revenue --from-month 2026-01 --to-month 2026-03 --format csv > revenue.csv
  otdel report receivables --format json --address https://gateway:7400 --ca ca.pem --token-file key

What a caller does not reach is not counted. Money is exact: in a table with its currency, in CSV with the currency in a
column of its own; there a text that a spreadsheet would take for a formula begins with an apostrophe. A report of several
pages is read page by page: each is of its own moment, and the freshness told is the first one's.
The variable OTDEL_TOKEN holds the key where no file is named.";

pub const IMPORT: &str = "\
Example:
  otdel import leads requests.csv --token-file key

`otdel import leads --help` tells which columns are read.";

pub const VERIFY: &str = "\
It reads and never writes, and may run while services do. A line for each finding: how it is, whose, what was looked at.
  schema      every migration of this binary, and no other
  rights      roles, ownership and rights as `otdel migrate` sets them
  feed        every event at its position without a gap, the chain of hashes from the first to the last, and the columns
              beside each event; the digest is the last hash
  content     a digest of all that the service itself holds: equal in a database and in a restored copy of it. Read models,
              epochs and how far feeds were read are left out, they change when followers read again
  balance     each account of the ledger
  ledger      every transaction and each currency sum to zero, and agree with invoices, payments and allocations
  read model  the digest of what is built from other services' feeds, as the service itself computes it
  cursor      how far a follower has read, recognised by its source: a feed that was cut or rewritten behind a follower's
              back shows here alone, until the follower runs; after a restore `otdel restore-finish` comes first

Examples:
  otdel verify --database-url URL
  otdel verify --database-url URL > before      then dump, lose, restore
  otdel verify --database-url URL | diff before -
  otdel verify billing --format json --database-url URL | jq -r 'select(.state != \"ok\")'

Two runs are equal where nothing was written between them. --format json tells the digest of each table too.

Exit codes: 0 all is well, 1 something is wrong, 3 nothing is wrong but followers have yet to read again: start the
services, or let them finish, and ask again.";

pub const RESTORE_FINISH: &str = "\
It checks that every schema is at the version of this binary with its roles and rights, sees that no service uses the
database, gives every schema a new epoch, so that cursors of what was lost are refused, and verifies. A second time it
changes nothing: a schema notes the database that its epoch was given to. Where the server's files were put back instead
of a dump it cannot tell, and `otdel new-epoch` does it.

After the loss of a database, with the secrets at hand or new ones from `otdel init`:
  pg_dump -Fc --file otdel.dump URL                             before, regularly
  1. stop the services, and make an empty database
  2. otdel migrate --roles-only --secrets DIR --database-url URL
  3. pg_restore --exit-on-error --single-transaction --dbname URL otdel.dump
  4. otdel migrate --secrets DIR --database-url URL             to this binary's version, with the passwords of the secrets
  5. otdel restore-finish --database-url URL
  6. start the services; followers read again; then `otdel verify` exits with 0

Whoever reads the feeds from outside gets DATA_LOSS `CURSOR_DIVERGED` and reads them from the start.";

pub const NEW_EPOCH: &str = "\
For a database that was put back by other means than a dump, or lost what it had acknowledged when a standby took over.
Every cursor that was given out before gets DATA_LOSS `CURSOR_DIVERGED`: followers build their read models again by
themselves, and whoever reads from outside reads from the start. Nothing else changes. Each run makes another epoch, which
costs one more reading and no more.

Stop the services first: it looks whether they are connected. With --while-running it does not, and streams that are open
learn of it within a minute.

Examples:
  otdel new-epoch --database-url URL
  otdel new-epoch leads --database-url URL
Next: start the services, then `otdel verify`.";

pub const SETTINGS: &str = "\
Example:
  otdel settings > settings.md

It is made from the command line itself, so that it cannot be out of date.";
