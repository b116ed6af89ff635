import sys, collections
import trio, attrs
import kraken_trio as kt
from kraken_trio.recording.packer import Packer
from kraken_trio.recording.records import *
from kraken_trio.recording import records as log
from kraken_trio.recording.keyframes import *
from kraken_trio.recording.player import Player
from kraken_trio.recording.format import *
from kraken_trio.session import inputs
from kraken_trio.wire.codec import codec_for
from kraken_trio.encoding import decode_request
import tests.simulation.world as W
from tests.simulation.plan import plan_of

class Tap:
    def __init__(self, session):
        self.session=session; self.packer=Packer(); self.expected=collections.defaultdict(list)
        self.feeds={}; self.marks=[]; self.next=20.0; self.open={}; self.answered=set()
        now=trio.current_time(); wall=W.wall_ns()
        p=self.packer
        p.note(Started(), wall, now)
        self.cycle(wall, now)
    def cycle(self, wall, now):
        p=self.packer
        p.key(CycleBegun(number=1), wall, now)
        p.key(client_frame(self.session), wall, now)
        for key in keys_of(self.session): p.key(frame_of(self.session,key), wall, now)
        p.key(CycleEnded(number=1), wall, now)
    def maybe(self, wall, now):
        if now>=self.next:
            self.next=now+17.3
            at=self.packer.sequence
            self.cycle(wall,now)
            self.marks.append((at,self.packer.sequence,{f:(len(self.expected[f]),r) for f,r in self.open.items() if f in self.answered}))
    def deliver(self, effects):
        for f,r in effects.answers:
            if not r: self.answered.add(self.packer._number(f))
        for feed, events in effects.deliver.items():
            self.expected[self.packer._number(feed)] += events
    def received(self, frames, wall, now, effects):
        self.packer.received(frames, wall, now, effects); self.deliver(effects); self.maybe(wall,now)
    def told(self, happening, wall, now, effects):
        if isinstance(happening, inputs.Added): self.open[self.packer._number(happening.feed)]=happening.requests
        if isinstance(happening, inputs.Removed): self.open.pop(self.packer._number(happening.feed),None)
        self.deliver(effects)
        self.packer.told(happening, self.session.epoch, wall, now, effects)
        self.maybe(wall,now)

def play(parts, begin=0, attach=None, feeds={}):
    player=Player(codec_for("v2")); got=collections.defaultdict(list)
    def drain():
        eff,ch=player.take()
        for f,ev in eff.deliver.items(): got[f]+=ev
    raw=b"".join(parts)
    for ch,seq,wall,mono,data in messages(raw):
        if seq<=begin: continue
        if attach is not None and seq>attach:
            for f,(n,r) in feeds.items(): player.add(f,r,at_once=True)
            attach=None; drain()
        if ch<=TEXT_MORE:
            player.frame(data if ch<=FRAME_MORE else data.decode(), wall)
        else:
            e=log.read(data)
            if isinstance(e,Told) and e.what=="Added": player.add(e.feed,[decode_request(r) for r in e.requests])
            if isinstance(e,Told) and e.what=="Removed":
                drain(); player.remove(e.feed)
            player.record(e)
        drain()
    return player, got

def run(seed, minutes):
    taps=[]
    orig=W.World.use
    async def use(self, client):
        tap=Tap(client._shell.session); taps.append(tap); client._shell.tap(tap)
        await orig(self, client)
    W.World.use=use
    try: out=W.run(plan_of(seed, minutes*60))
    finally: W.World.use=orig
    bad=0; n=0
    for t in taps:
        parts=t.packer.take().parts
        player, got=play(parts)
        for begin,end,feeds in t.marks:
            pl,g2=play(parts,begin,end,feeds)
            for f,(n0,r) in feeds.items():
                tail=t.expected[f][n0:]
                g=g2[f]
                if len(tail)>len(g) or (tail and (g[-len(tail):]!=tail or repr(g[-len(tail):])!=repr(tail))):
                    bad+=1; gt=g[-len(tail):]
                    k=next((i for i,(a,b) in enumerate(zip(gt,tail)) if a!=b or repr(a)!=repr(b)),min(len(gt),len(tail)))
                    print("seed",seed,"from key frame",begin,"feed",f,r,len(g),len(tail),"first diff",k); print("  got", str(gt[k:k+1])[:300]); print("  exp", str(tail[k:k+1])[:300])
            if pl.disagreement_count: print("seed",seed,"from",begin,"disagreements",list(pl.disagreements)[:3]); bad+=1
        for f,exp in t.expected.items():
            g=got[f]; n+=len(exp)
            if g!=exp or repr(g)!=repr(exp):
                bad+=1
                k=next((i for i,(a,b) in enumerate(zip(g,exp)) if a!=b or repr(a)!=repr(b)),min(len(g),len(exp)))
                print("seed",seed,"feed",f,len(g),len(exp),"first diff",k)
                print("  got", g[k:k+2]); print("  exp", exp[k:k+2])
        if player.disagreement_count: print("seed",seed,"disagreements",player.disagreement_count,list(player.disagreements)[:3]); bad+=1
    return bad,n,out.broken
a,b=int(sys.argv[1]),int(sys.argv[2]); tot=0;N=0
for s in range(a,b):
    bad,n,br=run(s,float(sys.argv[3]) if len(sys.argv)>3 else 0.75); tot+=bad>0; N+=n
    if br: print("broken",s,br)
print("seeds",b-a,"bad",tot,"events",N)
