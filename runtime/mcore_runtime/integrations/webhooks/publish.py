"""One attempt to publish one message to an MQTT 5 broker, with paho-mqtt; what ``post`` is for HTTP."""

from __future__ import annotations

import queue
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from mcore_runtime.integrations.webhooks.post import Answer, Result, failure
from mcore_runtime.integrations.webhooks.target import WebhookTarget


def publish(target: WebhookTarget, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Publish one message at least once (QoS 1); the broker keeps none for who comes later.

    Args:
        target: where to; its path is the topic.
        body: JSON.
        headers: of this message, sent as user properties.
        timeout_s: longest time for all of it but the look-up of the host's name, seconds.
    """
    from paho.mqtt import client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    deadline_s = time.monotonic() + timeout_s
    said: queue.Queue[Any] = queue.Queue()  # the broker's reason codes: of the connection, then of the message; or None
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    client.connect_timeout = timeout_s
    client.on_connect = lambda client, data, flags, reason, properties: said.put(reason)
    client.on_publish = lambda client, data, number, reason, properties: said.put(reason)
    client.on_disconnect = lambda client, data, flags, reason, properties: said.put(None)
    if target.credentials is not None:
        client.username_pw_set(*target.credentials)
    if target.is_secure:
        client.tls_set_context(ssl.create_default_context())
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/json"
    properties.UserProperty = list(headers.items())

    def answer() -> Any:
        if (reason := said.get(timeout=max(0.0, deadline_s - time.monotonic()))) is None:
            raise ConnectionError  # what it said before is answered by then
        return reason

    try:
        client.connect(target.host, target.port, keepalive=max(1, round(timeout_s)))
        client.loop_start()
        if (reason := answer()).is_failure:
            return Answer(Result.UNREACHABLE, f"MQTT: {reason}")
        client.publish(unquote(target.path).lstrip("/"), body, qos=1, properties=properties)
        if (reason := answer()).is_failure:
            return Answer(Result.REFUSED, f"MQTT: {reason}")
        return Answer(Result.DELIVERED)
    except (queue.Empty, TimeoutError):
        return Answer(Result.UNREACHABLE, f"no answer for {timeout_s:g} s")
    except (OSError, ValueError) as error:
        return failure(error)
    finally:
        with suppress(OSError):
            client.disconnect()
        client.loop_stop()
