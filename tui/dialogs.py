"""The few questions the screen asks. None of them stands between a person and stop.

Every dialog carries the e-stop's words; F12 works in all of them, bare x and the recording keys in
those without a text field, and Esc closes a dialog and stops whoever moves the arm."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from robotd.messages import Check
from tui.actions import ACTIONS, ESTOP_WORDS, Group, dialog_bindings, shown_key
from tui.look import Look
from tui.style import folds


class Dialog[Result](ModalScreen[Result | None]):
    """A modal box with a title and the e-stop's line. Subclasses give `body`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *dialog_bindings(),
        Binding("escape", "close", "close", show=False),
    ]

    def __init__(self, title: str, look: Look) -> None:
        super().__init__()
        self._title = title
        self.look = look

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(folds(event.size), "-folded")
        self.set_class(self.look.ascii, "-plain")

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as box:
            box.border_title = self._title
            yield from self.body()
            stop = Text(f"F12 E-STOP  {ESTOP_WORDS}", style=self.look.bad)
            yield Static(stop, id="dialog-stop")

    def body(self) -> ComposeResult:
        """What stands between the title and the e-stop's line."""
        raise NotImplementedError

    def action_close(self) -> None:
        """Esc: stop what moves the arm, and close."""
        self.app.call_later(self.app.run_action, "app.act('stop_if_moving')")
        self.dismiss(None)


@dataclass(frozen=True, slots=True)
class FormField:
    """One text field of a form."""

    name: str
    label: str
    value: str = ""
    hint: str = ""


class Form(Dialog[dict[str, str]]):
    """Text fields; Enter in the last one answers with their values. `complaint` says what was
    wrong with the answer before."""

    def __init__(
        self, title: str, look: Look, fields: Sequence[FormField], complaint: str = ""
    ) -> None:
        super().__init__(title, look)
        self._fields = tuple(fields)
        self._complaint = complaint

    def body(self) -> ComposeResult:
        if self._complaint:
            yield Static(Text(f"{self.look.alert} {self._complaint}", style=self.look.warn))
        for field in self._fields:
            yield Label(field.label)
            text = Input(value=field.value, placeholder=field.hint, id=f"field-{field.name}")
            text.cursor_blink = False  # nothing on this screen moves without a reason
            yield text
        yield Label("Enter next, then done   Esc close (and hold)", classes="quiet")

    def on_mount(self) -> None:
        self.query(Input).first().focus()

    def on_key(self, event: events.Key) -> None:
        """What is typed before a field has the focus was meant for the first one: an x in a path
        is no e-stop, a space starts no episode."""
        if self.focused is None and (event.is_printable or event.key == "enter"):
            event.stop()
            event.prevent_default()
            field = self.query(Input).first()
            if event.is_printable and event.character:
                field.select_on_focus = False  # it would select what is put in here
                field.value = event.character
                field.cursor_position = 1
            self.set_focus(field)

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        # The one after the field that was answered, not after the one that has the focus: keys that
        # came quickly may all have been meant for the field before.
        inputs = list(self.query(Input))
        at = inputs.index(event.input)
        if at + 1 < len(inputs):
            inputs[at + 1].focus()
            return
        values = [text.value.strip() for text in inputs]
        self.dismiss({f.name: value for f, value in zip(self._fields, values, strict=True)})


class Confirm(Dialog[bool]):
    """A sentence, and Enter or Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "yes", "yes", show=False),
        Binding("n", "no", "no", show=False),
    ]

    def __init__(self, title: str, look: Look, text: str, yes: str) -> None:
        super().__init__(title, look)
        self._text = text
        self._yes = yes

    def body(self) -> ComposeResult:
        yield Static(self._text)
        yield Label(f"Enter {self._yes}   n no   Esc no, and hold", classes="quiet")

    def action_yes(self) -> None:
        """Enter."""
        self.dismiss(True)

    def action_no(self) -> None:
        """No, and let the arm go on."""
        self.dismiss(None)


class ArmingList(Dialog[bool]):
    """The arming checks as they come in, then one consent."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "consent", "arm", show=False)]

    def __init__(self, look: Look, again: Callable[[], object]) -> None:
        super().__init__("arming list", look)
        self._again = again
        self._checks: tuple[Check, ...] = ()
        self._checking = True
        self._refusal = ""

    def body(self) -> ComposeResult:
        with VerticalScroll(id="checks"):
            yield Static(id="check-lines")
        yield Static(id="verdict")

    def on_mount(self) -> None:
        self._draw()

    def show(self, checks: Sequence[Check], running: bool, refusal: str = "") -> None:
        """The checks so far; `running` while some are still to come."""
        self._checks, self._checking, self._refusal = tuple(checks), running, refusal
        if self.is_mounted:
            self._draw()

    @property
    def checked(self) -> bool:
        """Whether the answer to the last check is already on the screen."""
        return bool(self._checks) and not self._checking

    @property
    def checking(self) -> bool:
        """Whether checks are still to come."""
        return self._checking

    @property
    def passed(self) -> bool:
        """Whether consent would be accepted."""
        bad = any(check.outcome == "fail" for check in self._checks)
        return not (self._checking or self._refusal or bad or not self._checks)

    def _draw(self) -> None:
        self.query_one("#check-lines", Static).update(check_lines(self._checks, self.look))
        self.query_one("#verdict", Static).update(self._verdict())

    def _verdict(self) -> Text:
        look = self.look
        failed = sum(check.outcome == "fail" for check in self._checks)
        if self._checking:
            return Text("running the checks; nothing moves", style=look.warn)
        if failed or self._refusal:
            words = f"{failed} failed: fix it, then Enter checks again   Esc close"
            if not failed:
                words = f"{self._refusal}\nEnter checks again   Esc close"
            return Text(words, style=look.bad)
        text = Text().append("Enter", style=f"bold {look.good}")
        text.append(" takes the arm: torque on where it is, nothing else moves   ", style=look.text)
        return text.append("Esc close", style=look.dim)

    def action_consent(self) -> None:
        """Enter: arm when all is well, otherwise run the checks again."""
        if self.passed:
            self.dismiss(True)
        elif not self._checking:
            self.show((), running=True)
            self._again()


def check_lines(checks: Sequence[Check], look: Look) -> Text:
    """The arming list: outcome as mark and colour, detail, and below it what to do."""
    marks = {
        "pass": (look.tick, look.good),
        "warn": (look.alert, look.warn),
        "fail": (look.cross, look.bad),
    }
    text = Text()
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        mark, colour = marks.get(check.outcome, ("?", look.warn))
        text.append(f"{mark} {check.outcome:<4} ", style=f"bold {colour}")
        text.append(f"{check.name:<{width}}  ", style=look.text)
        text.append(f"{check.detail}\n", style=look.dim)
        if check.do and check.outcome != "pass":
            text.append(f"{' ' * (width + 9)}{look.arrow_right} {check.do}\n", style=colour)
    return text


class Help(Dialog[bool]):
    """Every key, from the registry."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,enter,q", "back", "close", show=False),
        Binding("up", "scroll('up')", show=False),
        Binding("down", "scroll('down')", show=False),
    ]

    def __init__(self, look: Look) -> None:
        super().__init__("keys", look)

    def body(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(help_text(self.look))
        yield Label("q close   up/down scroll   Esc close, and hold", classes="quiet")

    def action_scroll(self, way: str) -> None:
        """Scroll a line."""
        box = self.query_one("#help", VerticalScroll)
        box.scroll_relative(y=-1 if way == "up" else 1, animate=False)

    def action_back(self) -> None:
        """Close, and let the arm go on."""
        self.dismiss(None)


def help_text(look: Look) -> Text:
    """The registry as a page."""
    text = Text()
    for group in Group:
        text.append(f"{group.value}\n", style=f"bold {look.text}")
        for action in ACTIONS:
            if action.group is group:
                text.append(f"  {shown_key(action, look):<7}", style=f"bold {look.accent}")
                text.append(f"{action.help}\n", style=look.dim)
        text.append("\n")
    text.rstrip()
    return text
