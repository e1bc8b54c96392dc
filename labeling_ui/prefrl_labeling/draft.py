"""A ranking while a person makes it."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Draft:
    """Which options are placed so far, as numbers from 0 in the order on the screen. Every change is a new value."""

    groups: tuple[tuple[int, ...], ...] = ()  # the best first; those in one group are equally good
    joins: bool = False  # the next one shares the place of the last one

    @property
    def placed(self) -> tuple[int, ...]:
        """All that have a place."""
        return tuple(option for group in self.groups for option in group)

    def chosen(self, option: int) -> "Draft":
        """With an option behind those placed so far, or beside the last; one that has a place loses it."""
        if option in self.placed:
            left = (tuple(other for other in group if other != option) for group in self.groups)
            return Draft(tuple(group for group in left if group))
        if self.joins:
            return Draft((*self.groups[:-1], (*self.groups[-1], option)))
        return Draft((*self.groups, (option,)))

    def joined(self) -> "Draft":
        """The next one shares the last place, or not after all."""
        return replace(self, joins=bool(self.groups) and not self.joins)

    def back(self) -> "Draft":
        """Without the last step."""
        if self.joins:
            return replace(self, joins=False)
        return self.chosen(self.placed[-1]) if self.groups else self

    def with_rest(self, options: int) -> "Draft":
        """With all that have no place yet behind the others, equally good."""
        rest = tuple(option for option in range(options) if option not in self.placed)
        return Draft((*self.groups, rest)) if rest else Draft(self.groups)

    def ranks(self, options: int) -> tuple[int, ...] | None:
        """The place of each option, 0 the best; None while more than one has none. The last one follows by itself."""
        missing = [option for option in range(options) if option not in self.placed]
        if len(missing) > 1:
            return None
        groups = self.chosen(missing[0]).groups if missing else self.groups
        place = {option: rank for rank, group in enumerate(groups) for option in group}
        return tuple(place[option] for option in range(options))

    def label(self, option: int) -> str:
        """The place of an option as a person reads it: "2", or "2 =" where it is shared; nothing without a place."""
        better = 0
        for group in self.groups:
            if option in group:
                return f"{better + 1} =" if len(group) > 1 else str(better + 1)
            better += len(group)
        return ""


def spoken(ranks: tuple[int, ...]) -> str:
    """A ranking of options that are numbered from 1: "3 > 1 = 2"."""
    groups = [[i + 1 for i, rank in enumerate(ranks) if rank == place] for place in range(max(ranks) + 1)]
    return " > ".join(" = ".join(map(str, group)) for group in groups)
