"""The pages there are. Whatever has to hold of all of them is looked at over this table: a new page is one line of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    name: str
    path: str  # {run} and {vm} stand for what `world.furnish` made
    shown: str  # a selector of what is there once the page's scripts have drawn it
    first: str  # a selector of what is to be read before any script has come
    signed_in: bool = True
    is_for_admins: bool = False
    part: tuple = ()  # selectors of what axe looks at, where the whole would take it minutes
    shows_names: bool = False  # whether what `world.furnish` called by hostile names is shown


PAGES = [
    Page("login", "/login", "#token", "main form", signed_in=False),
    Page("login-link", "/login?code=abc", "main form button", "main form", signed_in=False),
    Page("playground", "/", "#history a", "#history a"),
    Page("run", "/runs/{run}", "#run-facts dd", "main h1", shows_names=True),
    Page("my-vm", "/my-vm", "#audit tr", "#vm-facts dd", shows_names=True),
    Page("terminal", "/terminal", "#state", "main h1"),
    Page("files", "/files", "#rows tr", "main h1"),
    Page("admin", "/admin", "#tiles .tile", "main h1", is_for_admins=True),
    Page("admin-vms", "/admin/vms", "#rows tr", "#filters", is_for_admins=True, shows_names=True),
    Page("admin-users", "/admin/users", "#rows tr", "#filters", is_for_admins=True, shows_names=True),
    Page("admin-queues", "/admin/queues", "#rows tr", "main h1", is_for_admins=True, shows_names=True),
    Page("admin-hosts", "/admin/hosts", "#rows tr", "main h1", is_for_admins=True),
    Page("admin-audit", "/admin/audit", "#rows tr", "#filters", is_for_admins=True, shows_names=True),
    Page("unknown", "/no/such/page", "main h1", "main h1"),
    Page("docs", "/docs", "main article", "main article", signed_in=False, part=("header", "nav", "section:first-of-type")),
]

# In which each has to be right, in light and dark.
WIDTHS = [1280, 390]
