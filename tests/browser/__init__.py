"""Tests in a real browser. They are a package, so that the app and the browser stop after the last of them."""
