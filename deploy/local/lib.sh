# What `up` and `down` share: the roles, and who of them runs. To be sourced.

# In the direction of the data. `up` starts from the end, `down` stops from the beginning.
ROLES="eventsource sensor trigger executor server bus"

# started PID: when this process was started, in ticks since the boot; nothing where there is none, or a zombie.
# With it a number that was given to another process is not taken for ours.
started() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # The name stands in brackets and may hold blanks.
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  [ "$1" = Z ] || printf '%s' "${20}"
}

# runs NAME: whether the process of DIR/run/NAME.pid is there; sets `pid`.
runs() {
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] || return 1
  local since
  since=$(started "$pid")
  [ -n "$since" ] && [ "$since" = "$(cat "$run/.$1.since" 2>/dev/null)" ]
}

# note NAME PID: remembers a process.
note() {
  started "$2" > "$run/.$1.since"
  echo "$2" > "$run/$1.pid"
}

# said NAME KEY: what a service said of itself in DIR/run/NAME.json.
said() {
  sed -n 's/.*"'"$2"'":"\{0,1\}\([^",}]*\)"\{0,1\}[,}].*/\1/p' "$run/$1.json" 2>/dev/null || true
}
