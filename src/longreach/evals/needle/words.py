"""Word lists that needle keys and word values are drawn from ("quiet-harbor", "amber")."""

from __future__ import annotations

_ADJECTIVES = """
able acid agile amber ancient angry arid autumn azure bald bitter blank bold brave brief bright
broad broken bronze busy calm careful cheap clean clever cloudy coastal cold cosmic crimson crisp
curly curved damp daring dark dear deep dense distant double dry dusty eager early eastern elder
electric empty equal fading faint fair famous fancy fast fearless fierce final fine firm flat
floral foggy fond formal fragile free fresh frosty full gentle giant glad global golden good
graceful grand gray green handy happy hardy harsh hasty hazel heavy hidden hollow honest humble
hungry icy ideal indigo inner iron ivory jolly joyful keen kind large late lazy lean light lively
local lonely long loud lovely loyal lucky lunar magic major marble mellow mighty mild minor misty
modern modest muddy mute narrow neat nimble noble noisy northern odd old olive open orange outer
pale patient plain polar polite proud purple quick quiet rapid rare ready red regal rich rigid
ripe robust rocky rough round royal rural rusty sacred salty sandy scarlet secret shallow sharp
shiny short shy silent silky silver simple sleepy slim slow small smart smooth snowy soft solar
solid southern spare spicy stable stark steady steep stern still stormy strange strict strong
sturdy subtle sunny super sweet swift tall tame tender thick thin tidy tiny tough urban vague
valid vast velvet violet vital vivid warm wary weary western wet white wide wild windy wise witty
wooden worthy yellow young zany
"""
_NOUNS = """
acorn actor album anchor ankle apple apron arrow artist atlas attic badge bagel baker balcony
banjo barn basin basket beacon bean beaver bell bench berry bicycle bird biscuit blanket blossom
boat bottle bowl branch bread bridge broom brush bucket butter button cabin cactus camel camera
candle canoe canyon carpet carrot castle cedar cellar chair cherry chimney circus cliff clock
cloud clover coast cobra coffee comet compass copper coral cottage cotton crane crater creek
cricket crow crown curtain daisy desert diamond dolphin donkey door dragon drawer drum eagle easel
elbow elephant elm engine falcon farmer feather fence fern ferry fiddle field finch flag flute
forest fossil fountain fox frog galaxy garden garlic gate ginger glacier glove goat goose grape
guitar hammer harbor harp hawk hedge helmet heron hill hockey honey hornet horse hotel iceberg
igloo inlet island jacket jaguar jasmine jewel jungle kettle kitchen kite ladder lagoon lake lamp
lantern lemon leopard letter lily lizard lobster locket lotus magnet mango maple market meadow
melon meteor mill mirror monkey moose mountain mouse museum mushroom napkin needle nest nickel
noodle oak oasis ocean onion orchard orchid otter owl oyster paddle palace panda paper parrot
peach peacock pebble pelican pencil penguin pepper piano pigeon pillow pilot pine pirate planet
plaza plum pocket poet pond poppy potato prairie prism puppet python quarry quartz quilt rabbit
radio raft raven reef ribbon river robin rocket rose ruby saddle sailor salad salmon school
scooter seal shark shell ship shovel shrimp signal skate spider spoon spruce squid stable statue
stove stream summit sunset swallow swan table teapot temple thistle thunder ticket tiger timber
tomato torch tower trail train trumpet tulip tunnel turnip turtle umbrella valley vessel village
violin volcano wagon walnut walrus waterfall whale wheat whistle willow window wolf zebra
"""

ADJECTIVES = tuple(_ADJECTIVES.split())
NOUNS = tuple(_NOUNS.split())
