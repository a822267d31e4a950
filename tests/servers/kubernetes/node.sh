# node.sh FOLDER: the first process of a node's namespaces (processes, mounts, network). All of the node dies with it,
# and its mounts and its network go too.
set -e
cd "$1"
# As a kubelet expects it; nothing of it reaches the machine, whose mounts are no peers of these.
mount --make-rshared /
for place in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$place"; done

# The kubelet sets these for the whole machine, unless it finds them set: it finds files of ours.
mkdir -p kernel
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  name=${setting%=*}
  file=kernel/$(echo "$name" | tr / .)
  echo "${setting#*=}" >"$file"
  if [ -e "/proc/sys/$name" ]; then mount --bind "$file" "/proc/sys/$name"; fi
done
ip link set lo up
touch ready

# Containers whose shim is gone are children of this process; waiting buries them.
while :; do
  sleep 86400 &
  wait
done
