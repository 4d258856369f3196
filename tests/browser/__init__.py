"""Tests that need a browser. A package, so that the app and the browser end with the last of them."""
