"""What the garbage collector of the page's server need not look at.

Streamlit collects in full after every run of a script, fragments included, and each time goes through all that the imported modules made, which
never becomes garbage: 60 to 80 ms, more than most fragments take. Twenty browsers that refresh every two seconds would need a core for it.
"""

import gc
import sys

_modules = 0  # that were there when the collector was last told


def leave_modules_alone() -> None:
    """Take all that is alive out of later collections, when modules have been imported since the last call. What is taken out is still freed
    when its last reference goes."""
    global _modules
    if len(sys.modules) != _modules:
        _modules = len(sys.modules)
        gc.collect()
        gc.freeze()
