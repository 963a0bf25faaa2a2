"""Keeps an interpreter waiting, all but started: the last thing that Python imports before it opens its program.

`site` imports a module of this name at the end of its work, from the user's own packages or, as here, from PYTHONPATH.
As a zygote ("fork") this process stays here for good and its forks go on, each inside a run. What is left to do is what
depends on the run: arguments, variables, and the packages in the user's home. No frame and no name of this file is left
when the program begins; see runtimes/README.md, "Warm".
"""

import os
import site
import sys

CHANNEL = 900
# What programs import most. None of these does anything at import but define; every one makes forking a little dearer.
COMMON = ("collections", "datetime", "functools", "itertools", "json", "math", "random", "re", "string", "time")
# What a run is taken to write of its memory is what this writes: the zygote has it run once (sandbox/rehearsal.c).
REHEARSAL = """
import sys
class Number:
    def __init__(self, value):
        self.value = value
def double(one):
    return Number(one.value * 2)
numbers = {str(i): double(Number(i)).value for i in range(9)}
print(1, f"{numbers}", sorted(numbers.values()), [1.5])
try:
    numbers["none"]
except KeyError as error:
    print(repr(error), file=sys.stderr)
"""


def become_zygote():
    """Returns in forks only."""
    import _imp
    import atexit, weakref  # for the fork, which looks at what was made since
    import gc
    from importlib.machinery import ExtensionFileLoader, ModuleSpec

    looked_at = set(sys.path_importer_cache)
    for name in COMMON:
        __import__(name)
    for place in set(sys.path_importer_cache) - looked_at:
        del sys.path_importer_cache[place]
    with open(sys.argv[0], "w") as program:
        program.write(REHEARSAL)
    library = f"/proc/self/fd/{CHANNEL + 1}"
    gc.collect()
    gc.freeze()  # the collector need not touch, and so copy, what all forks share
    try:
        _imp.create_dynamic(ModuleSpec("zygote", ExtensionFileLoader("zygote", library), origin=library))
    except SystemError:
        end_with_the_program(gc.get_objects)  # in a fork: the library makes no module


def end_with_the_program(added_objects):
    """Leaves, where nobody can notice, before the interpreter frees all that it has (sandbox/ending.c).

    The first exit function, so the last to be called. What then could still be noticed are finalizers, of a program's
    classes, of generators, of files that were not closed; a weak reference that calls back; and what extensions do.
    `added_objects` are those that the collector has met since the fork.
    """
    if "leave" not in globals():
        return  # another interpreter
    import atexit
    from importlib.machinery import ExtensionFileLoader
    from weakref import ref

    builtin, known = type(len), set(sys.modules)

    def is_extension(module):
        return isinstance(getattr(getattr(module, "__spec__", None), "loader", None), ExtensionFileLoader)

    def calls_back(reference):
        """Those of weak collections and of abstract classes only tidy these up."""
        function = reference.__callback__
        is_own = type(function) is builtin and function.__name__ == "_destroy"
        return function and not is_own and function.__module__ not in ("_weakrefset", "weakref")

    def end():
        if not program_has_returned():
            return
        if any(is_extension(module) for name, module in sys.modules.items() if name not in known):
            return
        objects = added_objects()
        kinds = set(map(type, objects))
        if any(hasattr(kind, "__del__") for kind in kinds):
            return
        if any(issubclass(kind, (type, ref)) for kind in kinds):
            for one in objects:
                if isinstance(one, type) and hasattr(one, "__del__") or isinstance(one, ref) and calls_back(one):
                    return
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            return  # the interpreter tries again, and says what there is to say
        leave()

    atexit.register(end)


def receive_launch():
    """The arguments and variables of the run."""

    def exactly(length):
        parts = []
        while length:
            part = os.read(CHANNEL, length)
            if not part:
                os._exit(70)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    texts = exactly(int(exactly(16))).split(b"\0")
    os.close(CHANNEL)
    words = int(texts[2])
    variables = texts[4 + words : -1]
    return texts[3 : 3 + words], dict(one.split(b"=", 1) for one in variables)


def set_environment(variables):
    """What clearing and updating `os.environb` does, without a call for each variable that stays as it is."""
    known = os.environb._data  # and that of `os.environ`
    for name in known.keys() - variables.keys():
        os.unsetenv(name)
    for name, value in variables.items():
        if known.get(name) != value:
            os.putenv(name, value)
    known.clear()
    known.update(variables)


def find_packages():
    """What `site` does for the user's home, which was another, or nobody's, until now."""
    site.USER_BASE = site.USER_SITE = None
    if not site.ENABLE_USER_SITE or not os.path.isdir(site.getusersitepackages()):
        return
    of_the_system = [path for path in sys.path if path in site.getsitepackages()]
    for path in of_the_system:  # they come after the user's
        sys.path.remove(path)
    site.addusersitepackages({site.makepath(path)[1] for path in sys.path})
    sys.path.extend(path for path in of_the_system if path not in sys.path)
    sys.modules.pop("usercustomize", None)
    site.execusercustomize()


def main():
    here = os.path.dirname(__file__)
    waits_as = os.environ["MARTLET_WARM"]
    sys.path.remove(here)
    sys.path_importer_cache.pop(here, None)
    if waits_as == "fork":
        become_zygote()
    else:
        os.write(CHANNEL, b"R")
    words, variables = receive_launch()
    set_environment(variables)
    arguments = [os.fsdecode(word) for word in words[len(sys.orig_argv) :]]
    sys.argv.extend(arguments)
    sys.orig_argv.extend(arguments)
    find_packages()


main()
raise ImportError("this module leaves no trace", name="usercustomize")  # `site` takes it for one that is not there
