"""The one registry of what a key does. Bindings, footer, help, palette and `docs/keys.md` derive
from it.

An action's `name` is a method of `tui.acts.Acts`. `places` says in which situations the
footer offers it; it works everywhere regardless, and says so when it cannot."""

from dataclasses import dataclass
from enum import StrEnum

from textual.binding import Binding, BindingType

from tui.look import Look


class Group(StrEnum):
    """The headings of the help page."""

    STOP = "Stop"
    RECORDING = "Recording"
    ARM = "The arm"
    SOURCE = "Who moves the arm"
    JOG = "Keyboard jog (after Tab chose the keyboard)"
    SCREEN = "The screen"


class Place(StrEnum):
    """Situations in which the footer shows different keys."""

    DISARMED = "disarmed"
    HOLDING = "holding"
    MOVING = "moving"
    LATCHED = "latched"
    RECORDING = "recording"
    JOG = "jog"
    LOST = "lost"


ALL_PLACES = tuple(Place)
_AT_REST = (Place.DISARMED, Place.HOLDING)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a key does.

    `keys` are Textual's names, `shown` what is printed, `label` a word or two for the footer,
    `help` one sentence.
    `in_dialogs` marks the keys that also work inside a dialog, where no text field takes them.
    """

    name: str
    keys: tuple[str, ...]
    shown: str
    label: str
    help: str
    group: Group
    places: tuple[Place, ...] = ()
    priority: bool = False
    in_dialogs: bool = False


ESTOP_WORDS = "software stop: the plug is the emergency stop"

ACTIONS: tuple[Action, ...] = (
    Action(
        "estop",
        ("f12",),
        "F12",
        "E-STOP",
        f"Freeze the arm, then let it down; again: limp now. In every dialog too. A {ESTOP_WORDS}.",
        Group.STOP,
        priority=True,
    ),
    Action(
        "estop",
        ("x",),
        "x",
        "e-stop",
        "The same, wherever no text is being typed.",
        Group.STOP,
        in_dialogs=True,
    ),
    Action(
        "escape",
        ("escape",),
        "Esc",
        "stop, hold",
        "Stop whoever moves the arm and hold the pose. In a dialog: close it as well.",
        Group.STOP,
        (Place.MOVING, Place.JOG, Place.LOST),
    ),
    Action(
        "clear",
        ("c",),
        "c",
        "clear",
        "Clear a latched fault or e-stop, once its cause is gone.",
        Group.STOP,
        (Place.LATCHED,),
    ),
    Action(
        "episode",
        ("space",),
        "Space",
        "start/stop",
        "Start an episode; while one is open, stop and keep it.",
        Group.RECORDING,
        (Place.HOLDING, Place.MOVING, Place.RECORDING, Place.JOG),
        in_dialogs=True,
    ),
    Action(
        "keep",
        ("right",),
        "→",
        "keep",
        "End the open episode and save it.",
        Group.RECORDING,
        (Place.RECORDING,),
        in_dialogs=True,
    ),
    Action(
        "redo",
        ("left",),
        "←",
        "redo",
        "Throw the open episode away and record it again, at once; in an automatic session after "
        "the reset.",
        Group.RECORDING,
        (Place.RECORDING,),
        in_dialogs=True,
    ),
    Action(
        "success",
        ("s",),
        "s",
        "success",
        "Keep the open episode as a success; between two, call the last kept one that.",
        Group.RECORDING,
        (Place.RECORDING,),
    ),
    Action(
        "fail",
        ("f",),
        "f",
        "fail",
        "Keep the open episode as a failure; between two, call the last kept one that.",
        Group.RECORDING,
        (Place.RECORDING,),
    ),
    Action(
        "mark",
        ("m",),
        "m",
        "mark",
        "Mark a subgoal at this row of the open episode; marks are numbered.",
        Group.RECORDING,
        (Place.RECORDING,),
    ),
    Action(
        "discard",
        ("backspace",),
        "Bksp",
        "discard",
        "Throw the open episode away; the next one waits for Space.",
        Group.RECORDING,
        (Place.RECORDING,),
    ),
    Action(
        "note",
        ("w",),
        "w",
        "note",
        "Write a note on the open episode, or on the last kept one.",
        Group.RECORDING,
        (Place.RECORDING,),
    ),
    Action(
        "keep_last",
        ("b",),
        "b",
        "keep last",
        "Keep the last seconds as an episode though nobody pressed record, where they are held "
        "(recording.keep_last_s, or `keep 30` in the pace).",
        Group.RECORDING,
        (Place.HOLDING, Place.MOVING, Place.JOG),
    ),
    Action(
        "keep",
        ("n",),
        "n",
        "keep",
        "The same as →, for terminals that eat arrows.",
        Group.RECORDING,
    ),
    Action(
        "redo",
        ("r",),
        "r",
        "redo",
        "The same as ←, for terminals that eat arrows.",
        Group.RECORDING,
    ),
    Action(
        "intervene",
        ("i",),
        "i",
        "take over",
        "Take the arm over from the policy: with the leader where one is ready (not in the "
        "simulation), else with the keyboard; again: give it back. An open episode goes on and says "
        "who had the arm.",
        Group.SOURCE,
        (Place.MOVING, Place.RECORDING),
    ),
    Action(
        "source",
        ("tab",),
        "Tab",
        "source",
        "Give the arm to the next source: leader, keyboard. A script is no screen's: "
        "robotd record --source scripted …",
        Group.SOURCE,
        (Place.HOLDING, Place.MOVING, Place.JOG),
    ),
    Action(
        "policy",
        ("p",),
        "p",
        "policy",
        "Give the arm to the loaded policy; with none loaded, ask for its folder.",
        Group.SOURCE,
        (Place.HOLDING,),
    ),
    Action(
        "undo",
        ("u",),
        "u",
        "undo",
        "Take the last kept episode back out of the dataset.",
        Group.RECORDING,
        (Place.HOLDING, Place.MOVING),
    ),
    Action(
        "disarm",
        ("d",),
        "d",
        "disarm",
        "Park where the path is clear, then let the arm down slowly.",
        Group.ARM,
        (Place.HOLDING,),
    ),
    Action(
        "task",
        ("t",),
        "t",
        "task",
        "Change the task text of the next episode.",
        Group.RECORDING,
        (Place.HOLDING, Place.MOVING),
    ),
    Action(
        "session",
        ("o",),
        "o",
        "open dataset",
        "Choose the dataset and the task that episodes go to; one that is open is closed first.",
        Group.RECORDING,
        _AT_REST,
    ),
    Action(
        "close_session",
        ("O", "shift+o"),
        "O",
        "close dataset",
        "Close the dataset once everything kept is in it. Leaving (q) does it too.",
        Group.RECORDING,
        _AT_REST,
    ),
    Action(
        "arm",
        ("a",),
        "a",
        "arm",
        "Show the arming list; one Enter takes the arm. Nothing moves before that.",
        Group.ARM,
        (Place.DISARMED,),
    ),
    Action(
        "release",
        ("D", "shift+d"),
        "D",
        "let down here",
        "Let the arm down slowly where it is, without parking. Asks first.",
        Group.ARM,
    ),
    Action("home", ("h",), "h", "home", "Move to the home pose.", Group.ARM, (Place.HOLDING,)),
    Action(
        "hold",
        ("g",),
        "g",
        "hold",
        "Hold the pose: ends whatever moves the arm.",
        Group.ARM,
        (Place.MOVING,),
    ),
    Action(
        "load_policy",
        ("P", "shift+p"),
        "P",
        "load policy",
        "Load another policy. Moves nothing.",
        Group.SOURCE,
    ),
    Action(
        "jog_up",
        ("up",),
        "↑",
        "more",
        "Move the chosen joint one step up. Each press is one step; a held key repeats.",
        Group.JOG,
        (Place.JOG,),
    ),
    Action(
        "jog_down",
        ("down",),
        "↓",
        "less",
        "Move the chosen joint one step down.",
        Group.JOG,
        (Place.JOG,),
    ),
    Action(
        "jog_next",
        ("full_stop",),
        ".",
        "next joint",
        "Choose the next joint.",
        Group.JOG,
        (Place.JOG,),
    ),
    Action(
        "jog_previous",
        ("comma",),
        ",",
        "joint before",
        "Choose the joint before.",
        Group.JOG,
    ),
    Action(
        "jog_number",
        (),
        "1-6",
        "joint",
        "Choose a joint of the arm that is being jogged.",
        Group.JOG,
        (Place.JOG,),
    ),
    Action(
        "jog_bigger",
        ("right_square_bracket",),
        "]",
        "bigger step",
        "A bigger step for each press.",
        Group.JOG,
        (Place.JOG,),
    ),
    Action(
        "jog_smaller",
        ("left_square_bracket",),
        "[",
        "smaller step",
        "A smaller step for each press.",
        Group.JOG,
    ),
    Action(
        "help",
        ("question_mark",),
        "?",
        "help",
        "Show this list.",
        Group.SCREEN,
        ALL_PLACES,
    ),
    Action(
        "command_palette",
        ("ctrl+p",),
        "Ctrl+P",
        "palette",
        "Find an action by name.",
        Group.SCREEN,
        ALL_PLACES,
    ),
    Action(
        "quit",
        ("q",),
        "q",
        "quit",
        "Leave. Moves nothing; closes an idle dataset that was opened here; asks while one records.",
        Group.SCREEN,
        (Place.DISARMED, Place.HOLDING, Place.LATCHED, Place.LOST),
    ),
)


def screen_bindings() -> list[BindingType]:
    """The bindings of the record screen; priority ones belong to the app."""
    bound = [
        _binding(action, key) for action in ACTIONS if not action.priority for key in action.keys
    ]
    digits = [
        Binding(str(n), f"app.jog_number({n})", f"joint {n}", show=False) for n in range(1, 7)
    ]
    return [*bound, *digits]


def app_bindings() -> list[BindingType]:
    """The bindings that fire even while a dialog's text field has the focus."""
    return [_binding(action, key) for action in ACTIONS if action.priority for key in action.keys]


def dialog_bindings() -> list[BindingType]:
    """What works in every dialog: a text field takes the keys it types before these see them."""
    return [_binding(action, key) for action in ACTIONS if action.in_dialogs for key in action.keys]


def _binding(action: Action, key: str) -> Binding:
    return Binding(
        key, f"app.act('{action.name}')", action.label, show=False, priority=action.priority
    )


def shown_key(action: Action, look: Look) -> str:
    """The key as the look can print it."""
    plain = {"→": "Right", "←": "Left", "↑": "Up", "↓": "Down"}
    return plain.get(action.shown, action.shown) if look.ascii else action.shown


def key_table_markdown() -> str:
    """`docs/keys.md`, one section for each group."""
    lines = [
        "# Keys of the record screen",
        "",
        "`robotd tui`; `?` shows this list there.",
        "",
    ]
    for group in Group:
        lines += [f"## {group}", "", "| key | what it does |", "|---|---|"]
        lines += [f"| `{a.shown}` | {a.help} |" for a in ACTIONS if a.group is group]
        lines.append("")
    return "\n".join(lines)
