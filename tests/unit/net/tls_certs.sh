#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Certificates for test_tls: right ones, and one for each way to be wrong.  usage: tls_certs.sh DIRECTORY
set -eu
lib=$(cd "$(dirname "$0")/../../lib" && pwd)
cd "$1"
mkdir -p new
: >index.txt
echo 1000 >serial
echo 01 >crlnumber
cat >ca.cnf <<END
[ca]
default_ca = d
[d]
database = index.txt
new_certs_dir = new
serial = serial
crlnumber = crlnumber
default_md = sha256
policy = any
copy_extensions = none
unique_subject = no
default_crl_days = 30
[any]
C = optional
ST = optional
O = optional
OU = optional
CN = optional
emailAddress = optional
[req]
distinguished_name = dn
[dn]
END

# key NAME TYPE
key() {
	case $2 in
	ec) openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" ;;
	ed) openssl genpkey -algorithm ed25519 -out "$1.key" ;;
	*) openssl genrsa -out "$1.key" "$2" ;;
	esac 2>/dev/null
}
# issue NAME SUBJECT CA EXTENSIONS [FROM TO [DIGEST]]
issue() {
	printf '%s\n' "$4" >"$1.ext"
	openssl req -utf8 -new -key "$1.key" -subj "$2" -config ca.cnf -out "$1.csr"
	openssl ca -batch -notext -config ca.cnf -in "$1.csr" -out "$1.pem" -cert "$3.pem" -keyfile "$3.key" -extfile "$1.ext" \
		-startdate "${5:-20240101000000Z}" -enddate "${6:-20490101000000Z}" -md "${7:-sha256}" 2>/dev/null
}
# root NAME SUBJECT TYPE
root() {
	key "$1" "$3"
	openssl req -x509 -new -key "$1.key" -subj "$2" -config ca.cnf -days 9000 -out "$1.pem" \
		-addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,cRLSign
}
ca_ext='basicConstraints=critical,CA:true
keyUsage=critical,keyCertSign,cRLSign'
server='subjectAltName=DNS:mx.example.org,DNS:*.wild.example.org,IP:127.0.0.1
extendedKeyUsage=serverAuth'
client='subjectAltName=email:joe@example.org,DNS:host.example.org,URI:https://example.org/joe,email:second@example.org
extendedKeyUsage=clientAuth
crlDistributionPoints=URI:http://crl.example.org/ca.crl
authorityInfoAccess=OCSP;URI:http://ocsp.example.org/'
both='subjectAltName=DNS:mx.example.org,email:joe@example.org'

root ca "/C=DE/O=Test, Inc./CN=The Root" ec
root other "/CN=Another Root" ec
root rsaca "/CN=RSA Root" 2048
key mid ec; issue mid "/CN=Between" ca "$ca_ext"
key notca ec; issue notca "/CN=No Authority" ca "basicConstraints=CA:false"
key short ec; issue short "/CN=Ends Here" ca "basicConstraints=critical,CA:true,pathlen:0"
key below ec; issue below "/CN=Below" short "$ca_ext"
key oldmid ec; issue oldmid "/CN=Old Between" ca "$ca_ext" 20200101000000Z 20210101000000Z
key midrevoked ec; issue midrevoked "/CN=Withdrawn Between" ca "$ca_ext"

key ec ec; issue ec "/CN=mx.example.org" ca "$server"
key rsa 2048; issue rsa "/CN=mx.example.org" ca "$server"
key ed2 ed; key ed ed; issue ed "/CN=mx.example.org" ca "$server"
key client ec; issue client "/C=DE/O=Test, Inc./OU=One/OU=Two/CN=Joe \"x\" Müller" ca "$client" 20240102030405Z 20490607080910Z
key rsaclient 2048; issue rsaclient "/CN=rsa" rsaca "$client"
key leaf ec
for ca in mid notca below oldmid midrevoked other; do
	cp leaf.key "by_$ca.key"
	issue "by_$ca" "/CN=leaf" $ca "$both"
done
for n in expired notyet usage sha1 revoked critical; do cp leaf.key $n.key; done
issue expired "/CN=leaf" ca "$both" 20200101000000Z 20210101000000Z
issue notyet "/CN=leaf" ca "$both" 20480101000000Z 20490101000000Z
issue usage "/CN=leaf" ca "$both
extendedKeyUsage=codeSigning"
issue sha1 "/CN=leaf" ca "$both" "" "" sha1
issue revoked "/CN=leaf" ca "$both"
issue critical "/CN=leaf" ca "$both
1.2.3.4.5=critical,ASN1:UTF8:strange"
# a right name beside "mx.example.org\0.evil.example"; with a mail address "joe@example.org\0.x"; the NUL in the subject, as UTF-8 and as
# a BMPString of two; and a BMPString without one
nul_dns=82:1c:6d:78:2e:65:78:61:6d:70:6c:65:2e:6f:72:67:00:2e:65:76:69:6c:2e:65:78:61:6d:70:6c:65
mx_dns=82:0e:6d:78:2e:65:78:61:6d:70:6c:65:2e:6f:72:67
nul_mail=81:12:6a:6f:65:40:65:78:61:6d:70:6c:65:2e:6f:72:67:00:2e:78
for n in nul nulonly nulmail nulcn nulbmp bmp dnsip iponly uri mailonly; do cp leaf.key $n.key; done
issue nulonly "/CN=leaf" ca "subjectAltName=DER:30:1e:$nul_dns"
issue nul "/CN=leaf" ca "subjectAltName=DER:30:2e:$mx_dns:$nul_dns"
issue nulmail "/CN=leaf" ca "subjectAltName=DER:30:24:$mx_dns:$nul_mail"
issue nulcn "/CN=mx.example.orgQ.evil.example" ca "$both"
issue nulbmp "/CN=abQcd" ca "$both"
issue bmp "/CN=abQcd" ca "$both"
# openssl(1) does not write such subjects: the bytes are changed and the certificate is signed anew
resign() {
	openssl x509 -in "$1.pem" -outform DER | python3 "$lib/cert_resign.py" "$2" "$3" ca.key >"$1.der"
	openssl x509 -inform DER -in "$1.der" -out "$1.pem"
}
resign nulcn 6d782e6578616d706c652e6f726751 6d782e6578616d706c652e6f726700
resign nulbmp 0c056162516364 1e0400410000
resign bmp 0c056162516364 1e0400410042
issue dnsip "/CN=127.0.0.1" ca "subjectAltName=DNS:127.0.0.1,DNS:*.0.0.1"
issue iponly "/CN=mx.example.org" ca "subjectAltName=IP:127.0.0.1"
issue uri "/CN=mx.example.org" ca "subjectAltName=URI:https://example.org/"
issue mailonly "/CN=mx.example.org" ca "subjectAltName=email:joe@example.org"
key weak 1024; issue weak "/CN=leaf" ca "$both"
key veryweak 512; issue veryweak "/CN=leaf" ca "$both"
cp leaf.key self.key
openssl req -x509 -new -key self.key -subj "/CN=self" -config ca.cnf -days 9000 -out self.pem -addext subjectAltName=DNS:mx.example.org
cp leaf.key many.key
{ printf 'subjectAltName='; i=1; while [ $i -lt 10000 ]; do printf 'DNS:n%d.example.org,' $i; i=$((i + 1)); done
  echo DNS:mx.example.org; } >many.names
issue many "/CN=leaf" ca "$(cat many.names)"
cp leaf.key some.key
{ printf 'subjectAltName='; i=1; while [ $i -lt 300 ]; do printf 'DNS:n%d.example.org,' $i; i=$((i + 1)); done
  echo DNS:mx.example.org; } >some.names
issue some "/CN=leaf" ca "$(cat some.names)"

cat ec.pem ca.pem >chain_ec.pem
openssl ocsp -index index.txt -rsigner ca.pem -rkey ca.key -CA ca.pem -issuer ca.pem -cert ec.pem -respout ec.ocsp >/dev/null 2>&1
openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke revoked.pem 2>/dev/null
openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke midrevoked.pem 2>/dev/null
openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out ca.crl 2>/dev/null
for ca in mid midrevoked; do
	: >index.txt
	openssl ca -config ca.cnf -cert $ca.pem -keyfile $ca.key -gencrl -out $ca.crl 2>/dev/null
done
cat ca.crl mid.crl midrevoked.crl >all.crl
for ca in mid notca below oldmid midrevoked; do cat by_$ca.pem $ca.pem >chain_$ca.pem; done
cat short.pem >>chain_below.pem
cat by_other.pem other.pem >chain_other.pem
cat by_mid.pem mid.pem ca.pem >chain_whole.pem
cat ca.pem other.pem rsaca.pem >roots.pem
mkdir -p hashed && cp ca.pem hashed/ca.pem
openssl rsa -in rsa.key -aes128 -passout pass:x -out encrypted.key 2>/dev/null
cat ec.pem ec.key >together.pem
printf 'nothing here\n' >empty.pem
