"""The words of TinyInstruct's closed English, and what its small world knows about each of them.

A word has one class (name, noun, place, verb form, adjective or function word), so a sentence has one reading.
"""

from typing import NamedTuple

QUESTION, ANSWER = "q:", "a:"  # mark whose turn it is in a document

_WOMEN = """
anna amy clara emma ella ida julia kate laura lucy maria mia nina nora olga rosa ruth sara sofia tina vera wendy zoe
"""
WOMEN = tuple(_WOMEN.split())
_MEN = """
adam ben carl david eric felix frank george hugo ivan jack jacob leo max nick noah oscar paul peter sam simon tom
victor walter
"""
MEN = tuple(_MEN.split())
NAMES = (*WOMEN, *MEN)


class Thing(NamedTuple):
    """A noun that is no person's name and no place."""

    noun: str
    category: str  # a key of PLURAL, or "print" for what people read
    color: str  # the color that it usually has
    place: str  # where it is usually found, or where the animal lives
    trait: str  # an adjective that is true of it
    food: str = ""  # what the animal eats
    skill: str = ""  # what the animal can do


# noun, category, color, place, trait; animals: also food and skill
_THINGS = """
apple fruit red garden round            pear fruit green garden sweet          plum fruit purple garden small
cherry fruit red garden small           banana fruit yellow market sweet       lemon fruit yellow market sour
grape fruit green market small          peach fruit pink market soft           melon fruit green market big
carrot vegetable orange garden long     potato vegetable brown field round     onion vegetable white kitchen round
tomato vegetable red garden round       pea vegetable green garden small       bean vegetable green garden small
cabbage vegetable green field big       pumpkin vegetable orange field big
bread food brown bakery warm            cake food white bakery sweet           cheese food yellow kitchen soft
egg food white kitchen small            soup food orange kitchen warm          pie food brown bakery warm
sandwich food brown kitchen fresh       cookie food brown bakery sweet         honey food golden kitchen sweet
milk beverage white kitchen cold        juice beverage orange kitchen sweet    tea beverage brown kitchen warm
coffee beverage black kitchen warm      water beverage blue kitchen cold
hammer tool gray garage heavy           shovel tool gray garden heavy          rake tool brown garden long
knife tool gray kitchen sharp           needle tool gray bedroom thin          brush tool brown bathroom soft
ladder tool brown garage long           drill tool gray garage loud            wrench tool gray garage heavy
axe tool gray barn sharp
ball toy red playground round           kite toy blue field light              doll toy pink bedroom small
puzzle toy green bedroom new            robot toy gray bedroom loud            balloon toy red playground light
marble toy blue playground round        puppet toy red theater small
hat garment black shop soft             coat garment brown hall warm           scarf garment red hall warm
shirt garment white bedroom clean       dress garment blue bedroom pretty      sock garment gray bedroom soft
shoe garment brown hall dirty           glove garment black hall warm          belt garment brown bedroom long
jacket garment blue hall warm
piano instrument black theater heavy    guitar instrument brown school pretty  drum instrument red school loud
flute instrument white school thin      violin instrument brown theater pretty trumpet instrument golden theater loud
car vehicle red street fast             bus vehicle yellow station big         bike vehicle blue street fast
boat vehicle white harbor big           train vehicle green station long       truck vehicle gray street heavy
sled vehicle brown hill fast            wagon vehicle brown barn old
box container brown attic square        basket container brown kitchen light   bag container black hall light
bucket container gray barn round        drawer container brown bedroom square  jar container white kitchen round
chest container brown attic heavy
rose flower red garden pretty           tulip flower yellow garden pretty      daisy flower white field small
sunflower flower yellow field big       violet flower purple forest small      poppy flower red field thin
book print brown library old            letter print white office thin         map print yellow office thin
card print white shop thin              magazine print red shop new            diary print black bedroom old
dog animal brown house loud bread run          cat animal black house soft fish climb
horse animal brown barn fast grass run         cow animal white farm big grass walk
pig animal pink farm dirty cabbage run         sheep animal white farm soft grass walk
goat animal gray farm loud grass climb         mouse animal gray cellar small cheese run
rabbit animal white field soft carrot jump     frog animal green lake small insect jump
fox animal red forest fast mouse run           bear animal brown forest big honey climb
wolf animal gray forest fast rabbit run        lion animal yellow zoo strong meat run
elephant animal gray zoo big grass walk        monkey animal brown zoo fast banana climb
turtle animal green lake slow grass swim       fish animal golden river small insect swim
whale animal blue sea big fish swim            crab animal red beach small fish walk
duck bird brown lake small bread swim          hen bird white farm loud corn walk
goose bird white farm loud grass swim          owl bird brown forest quiet mouse fly
crow bird black field loud corn fly            eagle bird brown hill strong fish fly
parrot bird green zoo loud fruit fly           robin bird red garden small insect fly
bee insect yellow garden small honey fly       ant insect black forest small corn walk
butterfly insect blue garden pretty honey fly  beetle insect black forest small grass walk
"""
_ANIMALS = ("animal", "bird", "insect")


def _things() -> dict[str, Thing]:
    cells, found = _THINGS.split(), {}
    while cells:
        width = 7 if cells[1] in _ANIMALS else 5
        found[cells[0]] = Thing(*cells[:width])
        cells = cells[width:]
    return found


THINGS = _things()
MASS = frozenset(
    ("bread", "cheese", "soup", "honey", "milk", "juice", "tea", "coffee", "water", "grass", "meat", "corn")
)  # "some bread"
GROUND = ("grass", "meat", "corn")  # what animals eat beside things with a category
PLURAL = {
    "fruit": "fruits", "vegetable": "vegetables", "food": "foods", "beverage": "beverages", "tool": "tools",
    "toy": "toys", "garment": "garments", "instrument": "instruments", "vehicle": "vehicles",
    "container": "containers", "flower": "flowers", "animal": "animals", "bird": "birds", "insect": "insects",
    "job": "jobs", "color": "colors", "room": "rooms", "place": "places", "name": "names",
}  # fmt: skip
_JOBS = """
teacher doctor farmer baker chef sailor nurse painter singer driver pilot writer
"""
JOBS = tuple(_JOBS.split())

# place: the prepositions that may stand before it, the best first
_PLACES = """
    park=in garden=in kitchen=in market=at/in school=at/in library=in/at farm=on/at forest=in beach=on/at
    river=at/in house=in shop=in/at station=at/in museum=in/at bakery=in/at garage=in attic=in barn=in
    hospital=in/at zoo=at/in office=in/at hotel=in/at hill=on lake=at/in island=on cave=in castle=in
    village=in street=on/in field=in playground=on/at theater=in/at harbor=in/at cellar=in bedroom=in
    bathroom=in hall=in sea=in
"""
PLACES = {
    place: tuple(prepositions.split("/")) for place, prepositions in (entry.split("=") for entry in _PLACES.split())
}
ROOMS = ("kitchen", "garage", "attic", "cellar", "bedroom", "bathroom", "hall", "office")
COLORS = ("red", "blue", "green", "yellow", "black", "white", "brown", "orange", "purple", "pink", "gray", "golden")
_TRAITS = """
big small old new heavy light soft warm cold clean dirty long round square pretty sweet sour sharp thin loud fast
slow strong quiet fresh broken empty full nice
"""
TRAITS = tuple(_TRAITS.split())
GOOD_FEELINGS = ("happy", "glad", "proud", "excited", "calm", "cheerful")
BAD_FEELINGS = ("sad", "angry", "tired", "scared", "worried", "lonely", "upset")
NEEDS = ("hungry", "thirsty", "sick", "busy")
FEELINGS = (*GOOD_FEELINGS, *BAD_FEELINGS, *NEEDS)
NUMBERS = ("one", "two", "three", "four", "five", "six")


class Verb(NamedTuple):
    """A verb's forms, and what may follow it."""

    base: str
    third: str
    past: str
    frame: str  # self | to | object | give | put | bring | person | be | have
    takes: tuple[str, ...] = ()  # categories of its object; empty: any thing


_FOOD = ("fruit", "vegetable", "food")
_MOVABLE = (*_FOOD, "beverage", "tool", "toy", "garment", "container", "flower", "print")
_PETS = ("animal", "bird")


def _verbs(forms: str, frame: str, takes: tuple[str, ...] = ()) -> tuple[Verb, ...]:
    """Verbs of one frame, each given as `base/third/past`."""
    split = (one.split("/") for one in forms.split())
    return tuple(Verb(base, third, past, frame, takes) for base, third, past in split)


_VERBS = (
    *_verbs("go/goes/went walk/walks/walked run/runs/ran return/returns/returned hurry/hurries/hurried", "to"),
    *_verbs("take/takes/took lose/loses/lost drop/drops/dropped hold/holds/held", "object", _MOVABLE),
    *_verbs(
        "find/finds/found buy/buys/bought want/wants/wanted need/needs/needed",
        "object", (*_MOVABLE, "instrument", "vehicle"),
    ),
    *_verbs("see/sees/saw like/likes/liked love/loves/loved watch/watches/watched", "object"),
    Verb("eat", "eats", "ate", "object", (*_FOOD, "ground", *_PETS, "insect")),
    Verb("cook", "cooks", "cooked", "object", ("vegetable", "food")),
    Verb("drink", "drinks", "drank", "object", ("beverage",)),
    Verb("read", "reads", "read", "object", ("print",)),
    Verb("wear", "wears", "wore", "object", ("garment",)),
    Verb("ride", "rides", "rode", "object", ("vehicle",)),
    Verb("use", "uses", "used", "object", ("tool", "container")),
    Verb("clean", "cleans", "cleaned", "object", ("tool", "toy", "garment", "vehicle", "container", "instrument")),
    Verb("paint", "paints", "painted", "object", ("toy", "vehicle", "container")),
    Verb("break", "breaks", "broke", "object", ("tool", "toy", "vehicle", "container", "instrument")),
    Verb("fix", "fixes", "fixed", "object", ("tool", "toy", "vehicle", "container", "instrument")),
    Verb("open", "opens", "opened", "object", ("container", "print")),
    Verb("close", "closes", "closed", "object", ("container", "print")),
    Verb("feed", "feeds", "fed", "object", _PETS),
    *_verbs("give/gives/gave sell/sells/sold show/shows/showed", "give", _MOVABLE),
    *_verbs("put/puts/put hide/hides/hid leave/leaves/left", "put", _MOVABLE),
    *_verbs("bring/brings/brought carry/carries/carried", "bring", _MOVABLE),
    *_verbs(
        "meet/meets/met help/helps/helped thank/thanks/thanked visit/visits/visited call/calls/called "
        "follow/follows/followed",
        "person",
    ),
    *_verbs(
        "sleep/sleeps/slept laugh/laughs/laughed cry/cries/cried smile/smiles/smiled sing/sings/sang "
        "dance/dances/danced rest/rests/rested work/works/worked play/plays/played wait/waits/waited "
        "swim/swims/swam fly/flies/flew jump/jumps/jumped climb/climbs/climbed live/lives/lived",
        "self",
    ),
    Verb("have", "has", "had", "have"),
    Verb("be", "is", "was", "be"),
)  # fmt: skip
VERBS = {verb.base: verb for verb in _VERBS}
FIRST_LEADS = ("one day ,", "yesterday ,", "in the morning ,", "in the evening ,", "at night ,", "once", "last week ,")
NEXT_LEADS = ("then", "later ,", "soon", "after that ,", "suddenly ,", "next ,")
LAST_LEADS = ("at last ,", "in the end ,", "then", "finally ,")
LEADS = (*FIRST_LEADS, *NEXT_LEADS, *LAST_LEADS)
TIMES = ("in the morning", "in the evening", "at night", "yesterday", "today", "again", "for a long time", "last week")
MARKS = (".", ",", "?", "!", ":", "-", '"', "(", ")", "*")

# Words of no class: what instructions, chats and noise are made of.
_FUNCTION = """
the a an some this that these those and or but because so with to from of for by about into near not no yes if when
while he she it they i you we him her them me us my your his its their our myself who what where why how which whose
am are was were is be been do does did will would can could should may must has had have let please write tell make
invent give story tale text sentence sentences short little few rewrite change say put present future past place
question questions answer answers extract find name names list people things word words down pick out summarize sum
up happened summary read use using reply classify decide sort kind whether describe explain talk at most more than
less only mention without never leave mentioning include any all every other others another each both hello hi hey
good morning evening night afternoon dear friend thank thanks welcome sorry great wonderful terrible hope feel
better bye goodbye fine well congratulations luck too very really also just here there now then today tomorrow
yesterday soon again once day week year time long ago later after before end last first second third next think know
sure maybe true false right wrong done new want need like thing person animal different as something anything
someone chat message much choose on listen asked instruction task exercise homework number part page click user
posted post topic forum views login edit delete share lol ok wow hmm yeah nope stop spam free offer best price
comment comments subscribe link rules moderator thread negative opposite way form turn instead same own help ask
said says world home old suddenly happen reason main idea point
"""


def _vocabulary() -> tuple[str, ...]:
    words: dict[str, None] = dict.fromkeys(
        (QUESTION, ANSWER, *MARKS, *_FUNCTION.split(), *NAMES, *THINGS, *GROUND, *PLACES)
    )
    for verb in VERBS.values():
        words |= dict.fromkeys((verb.base, verb.third, verb.past))
    words |= dict.fromkeys((*PLURAL, *PLURAL.values(), *JOBS, *COLORS, *TRAITS, *FEELINGS, *NUMBERS))
    words |= dict.fromkeys(word for phrase in (*LEADS, *TIMES) for word in phrase.split())
    return tuple(words)


VOCABULARY = _vocabulary()


def vocabulary() -> tuple[str, ...]:
    """All words and marks of the language, in a fixed order; a text is some of them with single spaces between."""
    return VOCABULARY


def words(text: str) -> list[str]:
    """The words of a text; `text(words(x)) == x` for all that this package writes."""
    return text.split()


def text(words: list[str] | tuple[str, ...]) -> str:
    """The inverse of `words`."""
    return " ".join(words)


def category(noun: str) -> str:
    """What kind of thing a noun names: a category, `ground`, `place`, `job`, `person`, or nothing for no noun."""
    if noun in THINGS:
        return THINGS[noun].category
    if noun in NAMES:
        return "person"
    if noun in PLACES:
        return "place"
    return "job" if noun in JOBS else "ground" if noun in GROUND else ""


def article(word: str) -> str:
    """`a` or `an`, as the next word wants it."""
    return "an" if word[0] in "aeiou" else "a"


def members(group: str) -> tuple[str, ...]:
    """The words that belong to a category."""
    fixed = {"job": JOBS, "color": COLORS, "room": ROOMS, "place": tuple(PLACES), "name": NAMES}
    if group in fixed:
        return fixed[group]
    kinds = (
        ("animal", "bird", "insect")
        if group == "animal"
        else ("fruit", "vegetable", "food")
        if group == "food"
        else (group,)
    )
    return tuple(noun for noun, thing in THINGS.items() if thing.category in kinds)
