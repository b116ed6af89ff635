"""Frames of v1 as the exchange writes them: one of each kind."""

from __future__ import annotations

SNAPSHOT = (
    '[336,{"as":[["27120.00000","4.28732553","1693415327.935623"]],"bs":[["27119.90000","12.94109952",'
    '"1693415329.001234"],["27119.30000","0.00368622","1693415328.000001"]]},"book-10","XBT/USD"]'
)
UPDATE = (
    '[336,{"b":[["27117.40000","0.00000000","1693415330.886651"],["27116.80000","0.14741986","1693415325.036931","r"]],'
    '"c":"3139033408"},"book-10","XBT/USD"]'
)
BOTH_SIDES = (
    '[336,{"a":[["27130.20000","0.00028228","1693415479.753084"],["27130.20000","0.00000000","1693415479.753121"]]},'
    '{"b":[["27136.00000","4.25513312","1693415479.752884"]],"c":"2366297588"},"book-10","XBT/USD"]'
)
TRADES = (
    '[337,[["60000.00000","0.01000000","1790000001.000001","b","l",""],'
    '["60000.10000","0.02000000","1790000001.000002","s","m",""]],"trade","XDG/XBT"]'
)
TICKER = (
    '[340,{"a":["29938.60000",12,"12.41074632"],"b":["29938.50000",0,"0.08410000"],"c":["29938.60000","0.10146338"],'
    '"v":["735.06931643","5243.60824494"],"p":["29812.62518","30272.79057"],"t":[6120,30832],"l":["29581.10000",'
    '"29328.60000"],"h":["30085.80000","31869.30000"],"o":["29809.10000","31787.00000"]},"ticker","XBT/USD"]'
)
CANDLE = (
    '[343,["1675209613.118218","1675209660.000000","23135.00000","23135.40000","23134.00000","23135.30000",'
    '"23135.13297","0.39012812",7],"ohlc-5","XBT/USD"]'
)
SPREAD = '[341,["31760.00000","31760.10000","1654031976.197239","0.02167307","6.46761464"],"spread","XBT/USD"]'
STATUS = (
    '{"connectionID":13688620010177543517,"event":"systemStatus","status":"online","version":"1.9.1",'
    '"upcoming_maintenance":[{"event_id":101}],"emergency":["none"]}'
)
HEARTBEAT = '{"event":"heartbeat"}'
PONG = '{"event":"pong","reqid":42}'
SUBSCRIBED = (
    '{"channelID":336,"channelName":"book-10","event":"subscriptionStatus","pair":"XBT/USD","reqid":7,'
    '"status":"subscribed","subscription":{"depth":10,"name":"book"}}'
)
UNSUBSCRIBED = SUBSCRIBED.replace("subscribed", "unsubscribed")
REFUSED = (
    '{"errorMessage":"Subscription depth not supported","event":"subscriptionStatus","pair":"XBT/USD","reqid":7,'
    '"status":"error","subscription":{"depth":42,"name":"book"}}'
)
ERROR = '{"errorMessage":"Malformed request","event":"error","reqid":42}'
RATE_LIMIT = '{"Error":"Exceeded msg rate"}'

DATA = (SNAPSHOT, UPDATE, BOTH_SIDES, TRADES, TICKER, CANDLE, SPREAD)
"""Data, one of each shape."""
FRAMES = (*DATA, STATUS, HEARTBEAT, PONG, SUBSCRIBED, UNSUBSCRIBED, REFUSED, ERROR, RATE_LIMIT)
ORDERS = '[[],"openOrders",{"sequence":1}]'
PENDING = (
    '[[{"O1":{"avg_price":"0.0000","cost":"0.0000","descr":{"close":null,"leverage":null,"order":"sell 4.00000000 '
    'XBT/USD @ limit 6.1200","ordertype":"limit","pair":"XBT/USD","price":"6.1200","price2":"0.0000","type":"sell"},'
    '"expiretm":null,"fee":"0.0000","limitprice":"0.0000","misc":"","oflags":"fciq,post","opentm":"1790000100.000001",'
    '"refid":null,"starttm":null,"status":"pending","stopprice":"0.0000","timeinforce":"GTC","userref":7,'
    '"vol":"4.00000000","vol_exec":"0.00000000"}}],"openOrders",{"sequence":2}]'
)
CHANGES = (
    '[[{"O1":{"vol_exec":"1.50000000","cost":"9.1800","fee":"0.0147","avg_price":"6.1200","userref":7}},'
    '{"O2":{"lastupdated":"1790000200.000001","status":"canceled","userref":0,"cancel_reason":"User requested"}}],'
    '"openOrders",{"sequence":3}]'
)
OWN_TRADES = (
    '[[{"T1":{"cost":"9.1800","fee":"0.0147","margin":"0.0000","ordertxid":"O1","ordertype":"limit","pair":"XBT/USD",'
    '"postxid":"TKH2SE","price":"6.1200","time":"1790000150.000001","type":"sell","vol":"1.50000000"}}],"ownTrades",'
    '{"sequence":2}]'
)
ACCOUNT = (ORDERS, PENDING, CHANGES, OWN_TRADES)
"""Those of an account."""
