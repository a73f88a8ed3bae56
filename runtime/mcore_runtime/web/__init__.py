"""The page poolside: a live session in a browser, for operators, coaches and a screen in the hall."""

from mcore_runtime.access_token import read_token
from mcore_runtime.address import DEFAULT_ADDRESS, Address, parse_address
from mcore_runtime.web.serving import Page, check_page, serve, serve_app

__all__ = ["DEFAULT_ADDRESS", "Address", "Page", "check_page", "parse_address", "read_token", "serve", "serve_app"]
