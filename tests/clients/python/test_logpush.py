"""Log export into a store that speaks S3 and checks signatures, read back with Amazon's own SDK."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import time
import urllib.request

import boto3
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from moto.server import ThreadedMotoServer

BUCKET = "genesis-logs"
BODY = {"model": "claude-sonnet-4-6", "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]}


class Store:
    """A bucket whose owner alone may write."""

    def __init__(self, url: str):
        self.url = url
        administrator = {"endpoint_url": url, "region_name": "eu-central-1"}
        administrator |= {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        boto3.client("s3", **administrator).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        iam = boto3.client("iam", **administrator)
        iam.create_user(UserName="genesis")
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        iam.put_user_policy(UserName="genesis", PolicyName="all", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName="genesis")["AccessKey"]
        self.id, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        # From here on every request must be signed, and rightly.
        plain = {"content-type": "text/plain"}
        request = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain, method="POST")
        urllib.request.urlopen(request, timeout=10).close()
        own = {"aws_access_key_id": self.id, "aws_secret_access_key": self.secret}
        self.s3 = boto3.client("s3", endpoint_url=url, region_name="eu-central-1", **own)

    def objects(self) -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {item["Key"]: self.s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in listed}


@pytest.fixture(scope="module")
def store():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Store(f"http://{host}:{port}")
    server.stop()


class Gateway:
    """`genesis dev` in a home of its own, exporting to the store."""

    def __init__(self, home, store: Store, secret: str, prefix: str, public_key: str):
        destination = f"s3://{BUCKET}/{prefix}/{{DATE}}?region=eu-central-1&endpoint={store.url}"
        settings = {
            "gateways": {"default": {"logpush": True, "logpush_public_key": public_key}},
            "logpush": [{"name": "s3", "destination": destination, "batch": {"seconds": 0}}],
        }
        (home / "genesis.json").write_text(json.dumps({"gateway": settings}))
        keys = {"AWS_ACCESS_KEY_ID": store.id, "AWS_SECRET_ACCESS_KEY": secret}
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "GENESIS_HOME": str(home)} | keys
        self.log = open(home / "stderr", "w+")
        self.process = subprocess.Popen(
            [os.environ["GENESIS"], "dev", "--port", "0", "--json", "--simulate-all"],
            stdout=subprocess.PIPE, stderr=self.log, env=environment, text=True,
        )
        self.url = json.loads(self.process.stdout.readline())["baseUrl"]

    def call(self) -> None:
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}/anthropic/v1/messages", json.dumps(BODY).encode(), headers)
        urllib.request.urlopen(request, timeout=10).close()

    def ready(self) -> dict:
        with urllib.request.urlopen(self.url.split("/v1/")[0] + "/readyz", timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> str:
        self.process.terminate()
        self.process.wait(20)
        self.log.seek(0)
        return self.log.read()


def wait_for(condition, what: str):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def waiting(ready: dict) -> dict | None:
    """The export that failed and has one record to send, if there is one."""
    return next((one for one in ready["exports"] if one["lastError"] and one["behind"] == 1), None)


def public_pem(private: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def test_objects_are_signed_and_the_private_key_opens_them(store, tmp_path):
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    gateway = Gateway(tmp_path, store, store.secret, "logs of genesis", public_pem(private))
    try:
        gateway.call()
        gateway.call()
        wait_for(lambda: gateway.ready()["exports"][0]["sent"] == 2, "both records arrive")
    finally:
        said = gateway.stop()
    assert store.secret not in said
    objects = store.objects()
    assert all(key.startswith("logs of genesis/20") and key.endswith(".log.gz") for key in objects)
    lines = [json.loads(line) for body in objects.values() for line in gzip.decompress(body).splitlines()]
    assert [line["StatusCode"] for line in lines] == [200, 200]
    for line in lines:
        sealed = {part: base64.b64decode(line["RequestBody"][part]) for part in ("key", "iv", "data")}
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        key = private.decrypt(sealed["key"], oaep)
        assert json.loads(AESGCM(key).decrypt(sealed["iv"], sealed["data"], None)) == BODY


def test_a_wrong_secret_is_refused_and_said(store, tmp_path):
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    gateway = Gateway(tmp_path, store, "wrong" + store.secret[5:], "wrong", public_pem(private))
    try:
        gateway.call()
        export = wait_for(lambda: waiting(gateway.ready()), "it is told")
    finally:
        gateway.stop()
    assert "SignatureDoesNotMatch" in export["lastError"]
    assert export["sent"] == 0
    assert not any(key.startswith("wrong") for key in store.objects())
