"""The look of every screen: one theme, one style sheet, one script, and nothing from another host."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from bsig.explain.drawing.colours import css_variables

STATIC = Path(__file__).parent / "static"

FONT = ("ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
TEXT = gr.themes.Size(
    name="bsig_text", xxs=".75rem", xs=".8125rem", sm=".875rem", md=".9375rem", lg="1.1875rem", xl="1.375rem",
    xxl="1.75rem",
)  # fmt: skip
"""The scale of letters, a step about a quarter above the one before from `md` on: captions, notes and tables, text and
fields, titles of sections, the verdict."""
BOTH = {
    "body_background_fill": "var(--paper)",
    "background_fill_primary": "var(--paper)",
    "background_fill_secondary": "var(--tint)",
    "block_background_fill": "var(--paper)",
    "block_label_background_fill": "var(--paper)",
    "border_color_primary": "var(--rule)",
    "border_color_accent": "var(--accent)",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--quiet)",
    "block_title_text_color": "var(--ink)",
    "block_label_text_color": "var(--quiet)",
    "block_info_text_color": "var(--quiet)",
    "accordion_text_color": "var(--ink)",
    "link_text_color": "var(--accent)",
    "link_text_color_hover": "var(--ink)",
    "link_text_color_visited": "var(--accent)",
    "slider_color": "var(--accent)",
    "loader_color": "var(--accent)",
    "input_background_fill": "var(--paper)",
    "input_border_color": "var(--edge)",
    "input_border_color_focus": "var(--accent)",
    "input_placeholder_color": "var(--quiet)",
    "checkbox_background_color": "var(--paper)",
    "checkbox_border_color": "var(--edge)",
    "checkbox_border_color_selected": "var(--accent)",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_hover": "var(--tint)",
    "checkbox_label_background_fill_selected": "transparent",
    "checkbox_label_text_color": "var(--ink)",
    "checkbox_label_text_color_selected": "var(--ink)",
    "button_primary_background_fill": "var(--accent)",
    "button_primary_background_fill_hover": "var(--ink)",
    "button_primary_text_color": "var(--paper)",
    "button_secondary_background_fill": "var(--paper)",
    "button_secondary_background_fill_hover": "var(--tint)",
    "button_secondary_border_color": "var(--edge)",
    "button_secondary_border_color_hover": "var(--ink)",
    "button_secondary_text_color": "var(--ink)",
    "table_text_color": "var(--ink)",
    "table_border_color": "var(--rule)",
    "error_text_color": "var(--worse)",
    "error_border_color": "var(--worse)",
    "block_border_width": "0px",
    "block_label_border_width": "0px",
    "panel_border_width": "0px",
    "checkbox_label_border_width": "0px",
    "input_border_width": "1px",
    "button_border_width": "1px",
    "checkbox_label_shadow": "none",
    "block_shadow": "none",
}
"""What is the same on light and on dark paper, because the variables change."""
THEME = gr.themes.Base(
    primary_hue="indigo", secondary_hue="slate", neutral_hue="slate", font=list(FONT),
    font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"], text_size=TEXT, radius_size=gr.themes.sizes.radius_sm,
).set(
    **BOTH,
    **{f"{name}_dark": value for name, value in BOTH.items()},
    checkbox_background_color_selected="var(--accent)",
    checkbox_background_color_selected_dark="*primary_500",  # the tick is white
    color_accent="var(--accent)",
    color_accent_soft="var(--tint)",
    color_accent_soft_dark="var(--tint)",
    block_padding="0px",
    block_radius="0px",
    block_info_text_size="*text_sm",
    block_label_text_size="*text_sm",
    block_title_text_size="*text_md",
    block_title_text_weight="600",
    button_large_text_size="*text_md",
    button_large_text_weight="600",
    button_medium_text_size="*text_md",
    button_medium_text_weight="600",
    button_small_text_size="*text_sm",
    button_small_text_weight="600",
    checkbox_label_gap="var(--space-1) var(--space-4)",
    checkbox_label_padding="var(--space-1) 0px",
    checkbox_label_text_size="*text_md",
    form_gap_width="var(--space-4)",
    input_text_size="*text_md",
    layout_gap="var(--space-4)",
    prose_text_size="*text_md",
    section_header_text_size="*text_md",
)  # fmt: skip


def style_sheet() -> str:
    """The style sheet of all screens as CSS, with every colour as a variable for light and for dark paper."""
    colours = f":root {{ {css_variables(dark=False)} }}\n:root .dark {{ {css_variables(dark=True)} }}\n"
    return colours + (STATIC / "style.css").read_text(encoding="utf-8")


def page_script() -> str:
    """The page's own script as an HTML element for the page's head."""
    return f"<script>{(STATIC / 'page.js').read_text(encoding='utf-8')}</script>"
