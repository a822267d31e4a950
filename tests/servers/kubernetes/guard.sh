# guard.sh FOLDER: ends a cluster of a test. The test's process says on standard input what it starts; the input closes
# when it is done, also when it was killed. What it says: "pid NUMBER" or "link NAME".
folder=$1 pids='' links=''
while read -r kind name; do
  case $kind in pid) pids="$pids $name" ;; link) links="$links $name" ;; esac
done

# A number may be another process's by now: ours run in the folder. A zombie has none.
ours() { [ "$(readlink "/proc/$1/cwd")" = "$folder" ]; }
for pid in $pids; do if ours "$pid"; then kill -9 "$pid"; fi; done
for pid in $pids; do
  tries=0
  while ours "$pid" && [ "$tries" -lt 200 ]; do
    sleep 0.05
    tries=$((tries + 1))
  done
done
for link in $links; do ip link delete "$link"; done

# Containers died with the node's process namespace, and nobody was left to remove their control groups.
for task in "$folder"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*; do
  [ -d "$task" ] && rmdir /sys/fs/cgroup/*/k8s.io/"${task##*/}" /sys/fs/cgroup/k8s.io/"${task##*/}"
done

tries=0
until rm -rf "$folder" || [ "$tries" -ge 50 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
