"""The stylesheet and the theme. Colours come from the `Look`, so that panels and frames agree."""

from textual.geometry import Size
from textual.theme import Theme

from tui.look import Look

CSS = """
Screen { background: $background; color: $foreground; layout: vertical; overflow: hidden; }
#header { height: 1; background: $surface; }
#banner { height: 0; }
#upper { height: 1fr; }
#lower { height: 14; }
#left { width: 31%; min-width: 44; }
#episode { height: 11; }
#episodes { height: 1fr; }
#camera-1, #camera-2 { width: 1fr; }
#joints { width: 5fr; }
#evidence { width: 3fr; }
#note { height: 2; }
#keys { height: 1; background: $surface; }
.panel {
  border: round $border-blurred; border-title-color: $foreground; border-subtitle-color:
  $text-muted; padding: 0 1; background: $background; text-wrap: nowrap;
}
.panel.wanted { border: round $warning; }
.panel.recording { border: round $error; }
CameraView.panel { padding: 0; }
Screen.-folded .panel { padding: 0; }
Screen.-folded #header { height: 2; }
Screen.-folded #camera-2 { display: none; }
Screen.-folded #lower { height: 9; }
Screen.-folded #left { width: 5fr; min-width: 0; }
Screen.-folded #camera-1 { width: 3fr; }
Screen.-folded #episode { height: 1fr; }
Screen.-folded #episodes { height: 4; }
Screen.-folded #evidence { width: 3fr; }
Screen.-plain .panel { border: ascii $border-blurred; }
Screen.-plain .panel.wanted { border: ascii $warning; }
Screen.-plain .panel.recording { border: ascii $error; }

Dialog { align: center middle; background: $background 55%; }
#dialog {
  width: 92; max-width: 96%; height: auto; max-height: 92%; padding: 1 2;
  border: round $accent; border-title-color: $accent; background: $surface;
}
#dialog Input { margin: 0 0 1 0; border: tall $border-blurred; background: $background; }
#dialog Input:focus { border: tall $accent; }
#dialog #checks, #dialog #help { height: auto; max-height: 24; }
#dialog .quiet { color: $text-muted; }
#dialog #dialog-stop { margin-top: 1; }
.-plain #dialog { border: ascii $accent; }
.-plain #dialog Input, .-plain #dialog Input:focus { border: ascii $accent; }
.-folded #dialog { padding: 0 1; }
.-folded #dialog Input, .-folded #dialog Input:focus {
  border: none; height: 1; margin: 0 0 1 0; padding: 0 1;
}
.-folded #dialog Input:focus { background: $border-blurred; }
.-folded #dialog #help, .-folded #dialog #checks { max-height: 14; }
"""


FOLD_COLUMNS, FOLD_LINES = 116, 30


def folds(size: Size) -> bool:
    """Whether a terminal is so small that the screen folds: one camera, bars for joints, the newest
    episodes."""
    return size.width < FOLD_COLUMNS or size.height < FOLD_LINES


def theme(look: Look) -> Theme:
    """The Textual theme of a look."""
    return Theme(
        name="robotd-plain" if look.ascii else "robotd",
        primary=look.accent,
        secondary=look.violet,
        accent=look.accent,
        success=look.good,
        warning=look.warn,
        error=look.bad,
        foreground=look.text,
        background=look.background,
        surface=look.panel,
        panel=look.panel,
        dark=True,
        variables={"border-blurred": look.border, "text-muted": look.dim},
    )
