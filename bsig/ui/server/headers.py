"""The headers of every answer: what a page of this app may load, and who may show it in a frame."""

from __future__ import annotations

import os

ON_SPACES_VARIABLE = "SPACE_ID"
"""The environment variable that Hugging Face Spaces set."""
# Gradio's page needs inline scripts and styles and makes functions from text; what the policy does hold is that nothing
# is loaded from and nothing sent to another host. Spaces show the page in a frame of huggingface.co, and put a bar of
# their own into it that asks there who liked the Space.
HUB = "https://huggingface.co https://*.huggingface.co"
ON_SPACES = f" {HUB}" if os.environ.get(ON_SPACES_VARIABLE) else ""
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        f"img-src 'self' data: blob:{ON_SPACES}",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        f"connect-src 'self' data: blob:{ON_SPACES}",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        f"frame-ancestors 'self' {HUB} https://*.hf.space",
    ]
)
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": CONTENT_SECURITY_POLICY,
}
