"""The one exception that means "what was handed in cannot be used".

Its text is a sentence for a person: name (=value), rule, remedy. It is raised where the cause is known and turned into
a message once, at the border (`gr.Error` in the app, stderr and exit code 2 on the command line). Anything else that is
raised is a defect of this project.
"""


class InputError(ValueError):
    """Something the caller handed in breaks a rule that the message states, with its remedy."""


class StoppedEarly(InputError):  # noqa: N818  nothing went wrong
    """Somebody asked to stop before anything worth keeping existed."""
