#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# make demo: starts Heddle on loopback, sends messages with a real client, and shows where they arrived: a Maildir, an mbox,
# a command, several places through an alias, and a second server; one over STARTTLS with AUTH, by someone who may relay.
# Cleans up after itself.
set -eu
umask 022
build=${1:-build}
top=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/heddle-demo-XXXXXX")
pids=
run=
cleanup() {
	for p in $pids; do kill "$p" 2>/dev/null || :; done
	for p in $pids; do wait "$p" 2>/dev/null || :; done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

say() { printf '\n==== %s\n' "$*"; }

# Started by root: the two servers run as an account without rights, from a copy that it may read.
bin=$top/$build
if [ "$(id -u)" = 0 ]; then
	bin=$dir/bin
	mkdir -p "$bin"
	cp -r "$top/$build/heddle" "$top/$build/libexec" "$top/$build/drivers" "$bin/"
	chmod -R go-w,a+rX "$bin"
	run="setpriv --reuid=nobody --regid=nogroup --clear-groups"
fi

config() { # NAME: what both servers share
	cat <<EOF
primary_hostname = $1.example.org
spool_directory = $dir/$1/spool
log_file_path = $dir/$1/%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = 0
EOF
}

mkdir -p "$dir/a/spool" "$dir/b/spool" "$dir/mail"
cat >"$dir/aliases" <<EOF
team: alice, bob, $dir/mail/team.mbox
robot: |$dir/robot
EOF
printf '#!/bin/sh\nexec cat >%s/mail/robot.out\n' "$dir" >"$dir/robot"
chmod 755 "$dir/robot"
printf 'alice: alice\nbob: bob\n' >"$dir/users"
printf 'carol: let me in\n' >"$dir/passwords"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=a.example.org \
	-addext subjectAltName=DNS:a.example.org -keyout "$dir/a/tls.key" -out "$dir/a/tls.pem" 2>"$dir/openssl.err" || {
	cat "$dir/openssl.err" >&2
	exit 1
}
{
	config b
	cat <<EOF
acl_smtp_rcpt = any
begin acl
any:
  accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = $dir/mail/second-server.mbox
begin retry
* * F,1h,1m
EOF
} >"$dir/b.conf"
chmod 755 "$dir"
[ -z "$run" ] || chown -R nobody:nogroup "$dir/a" "$dir/b" "$dir/mail"

start() { # NAME: starts it and sets port
	$run "$bin/heddle" -C "$dir/$1.conf" -bdf 2>"$dir/$1.err" &
	pids="$pids $!"
	for _ in $(seq 100); do
		port=$(sed -n 's/.*listening for SMTP on \[127.0.0.1\]:\([0-9]*\).*/\1/p' "$dir/$1/mainlog" 2>/dev/null | tail -n 1)
		[ -z "$port" ] || return 0
		sleep 0.1
	done
	cat "$dir/$1.err" >&2
	echo "server $1 did not start" >&2
	exit 1
}

start b
second=$port
{
	config a
	cat <<EOF
domainlist local_domains = demo.example
acl_smtp_rcpt = check_rcpt
tls_certificate = $dir/a/tls.pem
tls_privatekey = $dir/a/tls.key
log_selector = +tls_cipher +tls_peerdn
begin acl
check_rcpt:
  accept  authenticated = *
  accept  domains = +local_domains
          verify = recipient
  accept  domains = elsewhere.example
  deny    message = relay not permitted
begin routers
elsewhere:
  driver = manualroute
  domains = elsewhere.example
  transport = remote_smtp
  route_list = * 127.0.0.1::$second
  self = send
aliases:
  driver = redirect
  domains = +local_domains
  data = \${lookup{\$local_part}lsearch{$dir/aliases}}
  qualify_preserve_domain
  file_transport = mbox
  pipe_transport = command
users:
  driver = accept
  domains = +local_domains
  local_parts = lsearch;$dir/users
  transport = maildir
begin transports
remote_smtp:
  driver = smtp
mbox:
  driver = appendfile
command:
  driver = pipe
maildir:
  driver = appendfile
  directory = $dir/mail/\$local_part_data
  maildir_format
begin retry
* * F,1h,1m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = \${if def:tls_in_cipher}
  server_prompts = :
  server_condition = \${if eq{\$auth3}{\${lookup{\$auth2}lsearch{$dir/passwords}{\$value}fail}}}
  server_set_id = \$auth2
EOF
} >"$dir/a.conf"
start a

say "Sending with swaks to 127.0.0.1:$port"
send() { # RECIPIENT SUBJECT WHAT-ELSE...: TLS is used where it is said
	to=$1
	subject=$2
	shift 2
	if swaks --server "127.0.0.1:$port" --from sender@client.example --to "$to" --h-Subject "$subject" \
		--body "Hello from the demo." --hide-all "$@"; then
		echo "accepted for $to"
	else
		echo "refused for $to"
	fi
}
send alice@demo.example 'to a Maildir'
send team@demo.example 'through an alias'
send robot@demo.example 'to a command'
send someone@elsewhere.example 'to the second server'
send nobody@demo.example 'to nobody (refused: no such user)'
send anyone@third.example 'to a third domain (refused: no relaying for strangers)'
send alice@demo.example 'over STARTTLS, authenticated as carol' \
	--tls --auth PLAIN --auth-user carol --auth-password 'let me in'
send alice@demo.example 'with a wrong password (refused)' --tls --auth PLAIN --auth-user carol --auth-password 'let me out'

queue() { $run "$bin/heddle" -C "$dir/a.conf" "$@"; }
for _ in $(seq 100); do
	[ "$(queue -bpc)" != 0 ] || [ ! -s "$dir/mail/second-server.mbox" ] || break
	sleep 0.1
done

ok=1
show() { # TITLE FILES
	say "$1"
	shift
	for f in "$@"; do
		if [ -s "$f" ]; then
			echo "-- ${f#"$dir"/}"
			sed -n '/^Subject:/p; /^Hello/p' "$f"
		else
			echo "MISSING: $f"
			ok=0
		fi
	done
}
show "Alice's Maildir (three messages)" "$dir"/mail/alice/new/*
show "Bob's Maildir" "$dir"/mail/bob/new/*
show "The mbox of the alias" "$dir/mail/team.mbox"
show "What the command got" "$dir/mail/robot.out"
show "What the second server got" "$dir/mail/second-server.mbox"
say "The message that came over STARTTLS with AUTH: its log line, and what its Received: line says"
if grep ' <= .* X=TLS.* A=plain:carol ' "$dir/a/mainlog" && secret=$(grep -l '^Subject: over STARTTLS' "$dir"/mail/alice/new/*); then
	awk '/^Received:/ { on = 1; print; next } !/^[ \t]/ { if (on) exit } on' "$secret"
else
	echo "MISSING: no such line or message"
	ok=0
fi
say "The log"
cat "$dir/a/mainlog"
say "The queue (empty when all is delivered)"
queue -bp
echo "messages: $(queue -bpc)"
[ "$(queue -bpc)" = 0 ] || ok=0
if [ "$ok" = 1 ]; then
	say "All messages arrived."
else
	say "Something is missing: see above."
	exit 1
fi
