"""Who knows how a task is done: the scripted expert of each kind."""

from sim.expert import ScriptedExpert
from sim.expert_drawer import DrawerExpert
from sim.expert_legs import Expert
from sim.expert_push import PushExpert
from sim.tasks.spec import DrawerTask, PlaceTask, PushTask, TaskSpec


def expert_type(task: TaskSpec) -> type[Expert]:
    """The expert of this kind of task."""
    match task:
        case PlaceTask():
            return ScriptedExpert
        case PushTask():
            return PushExpert
        case DrawerTask():
            return DrawerExpert
