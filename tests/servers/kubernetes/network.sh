# network.sh NODE MACHINE SERVICE PORT: a bridge for the pods, with the way out to the machine as one of its ports. So pods
# and machine are neighbours. Nothing leads further.
set -e
node=$1 machine=$2 service=$3 port=$4
ip link add cni0 type bridge
ip address add "$node/24" dev cni0
ip link set cni0 up
ip link set eth0 master cni0
ip link set eth0 up
sysctl -qw net.ipv4.ip_forward=1
# There is no kube-proxy. This is the one service that pods want: the API server's.
ip route add "$service/32" dev cni0
for chain in PREROUTING OUTPUT; do
  iptables -t nat -A "$chain" -d "$service/32" -p tcp --dport 443 -j DNAT --to-destination "$machine:$port"
done
# The machine would answer the pod past the node, and the pod would not know from whom.
iptables -t nat -A POSTROUTING -d "$machine/32" -p tcp --dport "$port" -j MASQUERADE
