"""A collector, with OpenTelemetry's own messages: what the gateway tells of a call, in JSON and in Protobuf."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
MESSAGES = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


@dataclass
class Collector:
    """Takes whatever is posted, by path and content type."""

    port: int = 0
    got: dict[tuple[str, str], list] = field(default_factory=dict)
    key: list[str | None] = field(default_factory=list)

    def spans(self, kind: str) -> dict[str, Span]:
        """By log id."""
        requests = self.got.get(("/v1/traces", kind), [])
        spans = [span for request in requests for span in spans_of(request)]
        return {attributes(span)["genesis.log.id"]: span for span in spans if "genesis.log.id" in attributes(span)}


def spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    return [span for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]


def attributes(holder) -> dict:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes}


def parse(path: str, kind: str, body: bytes):
    message = MESSAGES[path]()
    if kind == "application/x-protobuf":
        message.ParseFromString(body)
        return message
    # OTLP writes ids in hex where Protobuf's JSON has base64. Everything else has to be known, by name and type.
    def as_base64(found: re.Match) -> str:
        return f'"{found[1]}":"{base64.b64encode(bytes.fromhex(found[2])).decode()}"'

    text = re.sub(r'"(traceId|spanId|parentSpanId)":"([0-9a-f]*)"', as_base64, body.decode())
    return json_format.Parse(text, message)


@pytest.fixture(scope="module")
def collector():
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            assert self.headers["content-encoding"] == "gzip"
            kind = self.headers["content-type"]
            collector.key.append(self.headers["x-api-key"])
            collector.got.setdefault((self.path, kind), []).append(parse(self.path, kind, body))
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield collector
    server.shutdown()


@pytest.fixture(scope="module")
def url(collector, tmp_path_factory):
    """A gateway of its own that tells the collector, in both encodings."""
    home = tmp_path_factory.mktemp("otel")
    address = f"http://127.0.0.1:{collector.port}"
    exporters = [
        {"url": f"{address}/v1/traces", "headers": {"x-api-key": "${COLLECTOR_KEY}"}},
        {"url": address, "headers": {"x-api-key": "${COLLECTOR_KEY}"}, "content_type": "protobuf"},
    ]
    settings = {"gateway": {"gateways": {"gw": {"otel": exporters}}}}
    (home / "genesis.json").write_text(json.dumps(settings))
    (home / "genesis.json").chmod(0o600)
    command = [os.environ["GENESIS"], "dev", "--port", "0", "--json", "--simulate-all", "--gateway", "gw"]
    env = os.environ | {"GENESIS_HOME": str(home), "COLLECTOR_KEY": "key-of-the-collector"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield json.loads(process.stdout.readline())["baseUrl"]
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def client(url):
    return openai.OpenAI(base_url=f"{url}/openai", api_key="sk-of-the-client", max_retries=0, timeout=10)


def wait_for(what: str, condition):
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def ask(client, **headers) -> tuple[str, object]:
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-5-mini",
        messages=[{"role": "user", "content": "Tell me a word."}],
        max_tokens=50,
        extra_headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    return answer.headers["cf-aig-log-id"], answer.parse()


def both(collector, log_id: str) -> Span:
    """The span of a call, after it came in either encoding and was the same."""
    kinds = ["application/json", "application/x-protobuf"]
    wait_for("both encodings", lambda: all(log_id in collector.spans(kind) for kind in kinds))
    written, packed = (collector.spans(kind)[log_id] for kind in kinds)
    assert written == packed
    return packed


def test_a_call_is_a_span_in_the_callers_trace(client, collector):
    before = time.time_ns()
    log_id, answer = ask(
        client,
        traceparent=f"00-{TRACE}-{PARENT}-01",
        cf_aig_metadata='{"user":"u1","seats":3,"vip":true,"gen_ai.usage.cost":9}',
    )
    span = both(collector, log_id)
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert span.span_id.hex() == log_id.replace("-", "")[16:]
    assert (span.name, span.kind) == ("chat gpt-5-mini", Span.SPAN_KIND_SERVER)
    # The log's clock has milliseconds.
    assert before - 1_000_000 <= span.start_time_unix_nano <= span.end_time_unix_nano <= time.time_ns()
    assert span.status.code == Status.STATUS_CODE_UNSET

    found = attributes(span)
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.provider.name"] == found["gen_ai.model.provider"] == "openai"
    assert found["gen_ai.request.model"] == "gpt-5-mini"
    assert found["gen_ai.response.model"] == answer.model
    assert found["gen_ai.request.max_tokens"] == 50
    assert found["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert found["gen_ai.usage.output_tokens"] == answer.usage.completion_tokens
    assert found["gen_ai.usage.cost"] == pytest.approx(found["genesis.cost.nano_usd"] / 1e9)
    assert 0 < found["gen_ai.usage.cost"] < 1, "the client's own entry has not taken its place"
    assert json.loads(found["gen_ai.prompt_json"])["messages"][0]["content"] == "Tell me a word."
    assert json.loads(found["gen_ai.completion_json"])["model"] == answer.model
    assert found["http.response.status_code"] == 200
    assert (found["user"], found["seats"], found["vip"]) == ("u1", 3, True)


def test_cloudflares_headers_name_the_trace_and_ids_of_ours_are_valid(client, collector):
    own, _ = ask(client, cf_aig_otel_trace_id=TRACE.upper(), cf_aig_otel_parent_span_id=PARENT)
    span = both(collector, own)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    invalid, _ = ask(client, cf_aig_otel_trace_id="trace-1", cf_aig_otel_parent_span_id="span-1")
    span = both(collector, invalid)
    assert span.trace_id.hex() == invalid.replace("-", "")
    assert (len(span.span_id), span.parent_span_id) == (8, b"")


def test_attempts_are_spans_below(client, collector):
    log_id, _ = ask(client, x_simulator="503,first=1", cf_aig_max_attempts="3", cf_aig_retry_delay="1")
    exchange = both(collector, log_id)
    [request] = [
        spans_of(request)
        for request in collector.got["/v1/traces", "application/x-protobuf"]
        if any(span.span_id == exchange.span_id for span in spans_of(request))
    ]
    below = [span for span in request if span.parent_span_id == exchange.span_id]
    assert [attributes(span)["http.response.status_code"] for span in below] == [503, 200]
    assert all(span.kind == Span.SPAN_KIND_CLIENT and span.trace_id == exchange.trace_id for span in below)
    assert below[0].status.code == Status.STATUS_CODE_ERROR
    assert below[0].end_time_unix_nano <= below[1].start_time_unix_nano


def test_errors_are_told(client, collector):
    with pytest.raises(openai.APIStatusError) as failed:
        ask(client, x_simulator="400")
    log_id = failed.value.response.headers["cf-aig-log-id"]
    span = both(collector, log_id)
    assert span.status.code == Status.STATUS_CODE_ERROR and span.status.message
    assert attributes(span)["error.type"] == "400"


def test_metrics_arrive_in_both_encodings(client, collector):
    ask(client)
    for kind in ["application/json", "application/x-protobuf"]:
        pushed = wait_for(kind, lambda: collector.got.get(("/v1/metrics", kind)))
        [resource] = pushed[-1].resource_metrics
        service = attributes(resource.resource)
        assert service["service.name"] == "genesis" and service["service.version"] and service["service.instance.id"]
        metrics = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
        duration = metrics["gen_ai.client.operation.duration"]
        assert (duration.unit, metrics["gen_ai.client.token.usage"].unit) == ("s", "{token}")
        assert duration.histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
        for metric in ["gen_ai.client.operation.duration", "gen_ai.client.token.usage"]:
            for point in metrics[metric].histogram.data_points:
                assert sum(point.bucket_counts) == point.count > 0
                assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
                assert 0 < point.start_time_unix_nano < point.time_unix_nano
        kinds = {attributes(point)["gen_ai.token.type"] for point in metrics["gen_ai.client.token.usage"].histogram.data_points}
        assert kinds == {"input", "output"}
        assert metrics["genesis.cost"].sum.is_monotonic and metrics["genesis.cost"].sum.data_points[0].as_int > 0


def test_the_collectors_key_goes_to_the_collector_alone(collector):
    assert collector.key and set(collector.key) == {"key-of-the-collector"}
    told = "".join(str(request) for requests in collector.got.values() for request in requests)
    assert "key-of-the-collector" not in told and "sk-of-the-client" not in told
