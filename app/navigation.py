"""The pages and where they stand in the navigation. A page is one line here and a script in `app/views`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A page: its script in `app/views`, whose name is its path in the URL; its title and icon. The first of all is at `/`."""

    name: str
    title: str
    icon: str

    @property
    def script(self) -> str:
        """The script as Streamlit is told of it, from `app/` on."""
        return f"views/{self.name}.py"


PAGES: dict[str, tuple[Entry, ...]] = {  # by section; "": beside the sections, always in sight
    "": (
        Entry("home", "Home", ":material/home:"),
        Entry("search", "Search", ":material/travel_explore:"),
        Entry("run", "Run", ":material/scatter_plot:"),
    ),
    "Understand": (
        Entry("explore", "Explore", ":material/query_stats:"),
        Entry("space", "Design space", ":material/tune:"),
        Entry("compare", "Compare", ":material/compare_arrows:"),
        Entry("fusion", "Fusion", ":material/account_tree:"),
    ),
    "Ship": (
        Entry("devices", "Devices", ":material/smartphone:"),
        Entry("models", "Models", ":material/deployed_code:"),
    ),
    "Set up": (Entry("settings", "Settings", ":material/settings:"),),
}


def entries() -> list[Entry]:
    """All pages, in the order of the navigation."""
    return [entry for section in PAGES.values() for entry in section]
