"""Dives as messages to other programs: ``mcore-run --webhook URL``; see ``docs/reference/webhooks.md``."""

from mcore_runtime.integrations.webhooks.sender import Webhooks
from mcore_runtime.integrations.webhooks.signing import SECRET_VARIABLE, read_secret
from mcore_runtime.integrations.webhooks.target import WebhookTarget, parse_target

__all__ = ["SECRET_VARIABLE", "WebhookTarget", "Webhooks", "parse_target", "read_secret"]
