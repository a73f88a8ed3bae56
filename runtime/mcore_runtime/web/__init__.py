"""The page poolside: a live session in a browser, for operators, coaches and a screen in the hall."""

from mcore_runtime.web.address import DEFAULT_ADDRESS, Address, parse_address
from mcore_runtime.web.serving import Page, check_page, serve
from mcore_runtime.web.tokens import read_token

__all__ = ["DEFAULT_ADDRESS", "Address", "Page", "check_page", "parse_address", "read_token", "serve"]
