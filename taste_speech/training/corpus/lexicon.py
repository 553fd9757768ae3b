"""Everyday English words, grouped by the place they can take in a sentence.

The lists aim at phonetic breadth: together they hold every English phoneme in many neighbourhoods.
Verbs are given as base:past pairs where the past is irregular.
"""


def listed(text: str) -> list[str]:
    """Return the words of a list written as running text."""
    return text.split()


PEOPLE = listed("""
teacher doctor farmer painter baker sailor driver writer singer dancer nurse judge lawyer plumber butcher
tailor barber waiter chef pilot captain soldier guard clerk student pupil neighbour uncle aunt cousin nephew
niece mother father brother sister grandmother grandfather daughter baby boy girl lady stranger guest
tourist friend partner boss manager carpenter engineer scientist artist actor author editor gardener hunter
fisher shepherd jeweller musician drummer pianist violinist coach player runner swimmer climber mechanic
builder cleaner librarian journalist photographer designer inventor explorer astronaut wizard giant prince
princess king queen knight beggar thief clown magician detective sheriff mayor president visitor customer
""")

ANIMALS = listed("""
dog cat horse cow sheep goat donkey rabbit mouse squirrel fox wolf bear lion tiger zebra giraffe elephant
monkey camel kangaroo penguin parrot eagle owl sparrow pigeon robin duck goose swan chicken turkey peacock
frog toad turtle lizard snake crocodile shark whale dolphin octopus crab lobster salmon spider beetle
butterfly bee wasp moth ladybird hedgehog badger otter beaver deer moose buffalo puppy kitten pony lamb
""")

THINGS = listed("""
table chair bench desk shelf cupboard drawer mirror carpet curtain pillow blanket lamp candle clock vase
basket bucket bottle jar cup mug glass plate bowl spoon fork knife kettle saucepan oven fridge freezer
toaster towel brush comb razor sponge broom ladder hammer saw screwdriver shovel rake wheelbarrow rope chain
lock key door window roof chimney fence gate wall garage carriage wagon bicycle scooter tractor truck lorry
van bus train tram boat ship yacht canoe raft aeroplane helicopter rocket engine wheel tyre pedal helmet
jacket coat scarf glove hat cap shirt blouse sweater skirt dress trouser belt buckle button zip pocket sock
shoe boot sandal slipper umbrella suitcase backpack purse wallet ticket passport map compass torch tent
whistle drum guitar piano violin trumpet flute harp bell camera telescope microphone radio telephone
computer keyboard printer screen cable battery magnet newspaper magazine letter envelope stamp parcel
notebook pencil crayon ruler eraser scissors poster painting statue toy doll puppet kite balloon ball bat
racket puzzle card trophy medal ring necklace bracelet watch diamond jewel coin banknote cheque receipt
treasure crown sword shield arrow machine robot sculpture fountain thermometer
""")

FOODS = listed("""
bread butter cheese milk cream yoghurt egg bacon sausage ham beef pork soup salad rice pasta noodle potato
tomato carrot onion garlic cabbage lettuce cucumber pepper mushroom pumpkin spinach broccoli bean pea corn
apple pear peach plum cherry grape lemon orange banana mango melon pineapple strawberry raspberry blueberry
coconut walnut almond peanut honey sugar salt mustard vinegar jam marmalade chocolate biscuit cake pie
pudding pancake waffle sandwich pizza burger curry stew tea coffee juice water lemonade cocoa
""")

PLACES = listed("""
kitchen bedroom bathroom garden cellar attic hallway office library museum theatre cinema gallery school
college university hospital pharmacy bakery market supermarket restaurant hotel castle palace church temple
cathedral tower bridge tunnel station airport harbour beach island river lake ocean pond waterfall valley
canyon mountain hill forest jungle desert meadow field farm barn stable village town city suburb square
street avenue motorway path corner park playground stadium gym pool zoo circus factory workshop warehouse
bank prison courthouse cottage cabin apartment cave volcano glacier lighthouse vineyard orchard greenhouse
laundry
""")

ABSTRACT = listed("""
idea plan story secret question answer problem reason dream promise mistake choice chance change lesson
message rumour joke game song melody rhythm language word sentence number colour shape pattern picture
journey adventure holiday party wedding birthday meeting contest race battle peace freedom justice courage
patience kindness curiosity knowledge wisdom memory habit skill talent effort success failure trouble danger
pleasure sorrow surprise victory rule law measure weight distance speed temperature weather season future
past moment opinion argument agreement decision suggestion advice invitation apology discovery invention
experiment theory
""")

ADJECTIVES = listed("""
big small little large huge tiny tall short long wide narrow thick thin deep shallow heavy light strong weak
fast quick slow young old new ancient modern fresh stale clean dirty dry wet hot warm cool cold bright dark
pale loud quiet silent noisy soft hard smooth rough sharp blunt round square flat straight crooked empty
full open closed rich poor cheap expensive simple easy difficult strange curious funny serious happy sad
cheerful gloomy angry calm gentle fierce brave shy proud humble clever foolish wise lazy busy tired sleepy
hungry thirsty healthy ill famous unknown lucky honest careful careless polite rude kind cruel generous
selfish patient eager nervous jealous lonely beautiful ugly pretty handsome elegant plain golden silver
wooden plastic leather woollen frozen boiling sweet sour bitter salty spicy delicious rotten ripe raw juicy
crunchy sticky slippery fluffy shiny dusty rusty muddy foggy windy cloudy sunny rainy stormy snowy peaceful
dangerous safe useful useless broken perfect wonderful terrible ordinary special familiar foreign local
distant nearby hidden visible magic favourite final early late rapid vast enormous massive precious rare
common genuine obvious mysterious
""")

COLOURS = listed(
    "red orange yellow green blue purple violet pink brown black white grey turquoise beige crimson"
)

ADVERBS = listed("""
quickly slowly quietly loudly carefully carelessly happily sadly angrily gently bravely proudly politely
kindly easily suddenly finally eventually immediately gradually secretly openly honestly seriously calmly
eagerly nervously patiently usually rarely often sometimes always never again together alone outside inside
upstairs downstairs everywhere nowhere nearby yesterday today tomorrow tonight early late soon twice
perfectly badly beautifully cheerfully thoroughly thoughtfully smoothly silently
""")

TRANSITIVE = listed("""
find:found see:saw buy:bought sell:sold bring:brought carry break:broke build:built catch:caught
choose:chose draw:drew hide:hid hold:held keep:kept lose:lost steal:stole throw:threw push pull lift drop
move paint polish repair fix clean wash wipe cover open close lock touch examine measure watch notice admire
remember forget:forgot want need like love hate enjoy prefer borrow lend:lent share give:gave send:sent
receive collect gather deliver order check photograph describe discover invent design destroy damage burn
scratch squeeze shake:shook swing:swung wear:wore leave:left replace return grab snatch guard protect
inspect ignore imagine recognise hang:hung follow chase feed:fed sketch bless fetch unwrap decorate
""")

INTRANSITIVE = listed("""
laugh smile cry whisper shout sing:sang dance jump run:ran walk march skip climb crawl swim:swam dive float
fly:flew fall:fell slip trip stumble sit:sat stand:stood sleep:slept wake:woke rest wait arrive vanish
disappear appear return travel wander work play study practise talk speak:spoke listen argue agree breathe
cough sneeze yawn shiver tremble sigh blink wave bow nod kneel:knelt stretch turn spin:spun hurry rush pause
stop begin:began cook eat:ate drink:drank read:read write:wrote think:thought dream hope worry complain
apologise celebrate succeed fail win:won grow:grew shine:shone freeze:froze melt jog snore whistle giggle
escape
""")

NAMES = listed("""
Anna Ben Clara David Emma Frank Grace Henry Isabel Jack Kate Leo Maria Nick Olivia Peter Rosa Sam Teresa
Victor Wendy Arthur Beth Charles Diana Edward Fiona George Hannah Ivan Julia Kevin Lucy Martin Nora Oscar
Paul Rachel Simon Thomas Ursula Vera Walter Yusuf Zoe Aisha Hugo Joyce Philip
""")

NUMBERS = listed("""
two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
""")

DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = listed("""
January February March April May June July August September October November December
""")
TIMES = [
    "in the morning",
    "in the afternoon",
    "in the evening",
    "at night",
    "at noon",
    "at midnight",
    "last week",
    "last summer",
    "last year",
    "an hour ago",
    "before breakfast",
    "after lunch",
    "during the winter",
    "at the weekend",
    "a long time ago",
    "this spring",
    "every autumn",
]
PREPOSITIONS = [
    "in",
    "near",
    "behind",
    "beside",
    "outside",
    "inside",
    "opposite",
    "beyond",
    "across from",
    "above",
    "below",
    "close to",
    "far from",
    "in front of",
]
