{{/*
Connections of a full fleet, whatever scales it: switching an autoscaler or the operator on or off changes no pod template, and so restarts nothing.
*/}}
{{- define "tradecast.mostConnections" -}}
{{- mul (max (int64 .Values.replicaCount) (int64 .Values.autoscaling.maxReplicas)) (int64 .Values.autoscaling.connectionsPerReplica) -}}
{{- end -}}

{{/* Seconds for a full fleet to be disconnected at drain.connectionsPerSecond. */}}
{{- define "tradecast.fullDrain" -}}
{{- ceil (divf (include "tradecast.mostConnections" . | int64) .Values.drain.connectionsPerSecond) | int64 -}}
{{- end -}}

{{/* drain.timeoutSeconds, or what it is derived from, within bounds. */}}
{{- define "tradecast.drainTimeout" -}}
{{- if kindIs "invalid" .Values.drain.timeoutSeconds -}}
{{- include "tradecast.fullDrain" . | int64 | max 60 | min 3600 -}}
{{- else -}}
{{- .Values.drain.timeoutSeconds -}}
{{- end -}}
{{- end -}}

{{/*
The time before the kubelet may kill a draining pod: DRAIN_DELAY, DRAIN_TIMEOUT, SHUTDOWN_TIMEOUT and a margin; and the sleep of a preStop hook,
which comes first and which the kubelet counts.
*/}}
{{- define "tradecast.gracePeriod" -}}
{{- $server := .Values.server -}}
{{- $slept := dig "lifecycle" "preStop" "sleep" "seconds" 0 ($server.containerSpec | default dict) | int64 -}}
{{- range get ($server.podSpec | default dict) "containers" | default list -}}
{{- $slept = max $slept (dig "lifecycle" "preStop" "sleep" "seconds" 0 . | int64) -}}
{{- end -}}
{{- with .Values.drain -}}
{{- add (ceil (addf .delaySeconds (include "tradecast.drainTimeout" $ | float64) .shutdownSeconds)) 5 $slept -}}
{{- end -}}
{{- end -}}

{{/* How the operator drains: at the servers' rate, and for at least as long as they drain when they terminate. */}}
{{- define "tradecast.fleetDrain" -}}
{{- $drain := .Values.operator.fleet.drain | default dict -}}
connectionsPerSecond: {{ $drain.connectionsPerSecond | default (floor .Values.drain.connectionsPerSecond | int64 | max 1) | int64 }}
timeoutSeconds: {{ $drain.timeoutSeconds | default (include "tradecast.drainTimeout" . | float64 | ceil | int64 | max 600) | int64 }}
{{- end -}}

{{/*
The rest of the SocketFleet that operator.fleet sets. What other values set for the servers, the operator uses too, unless operator.fleet has its own.
*/}}
{{- define "tradecast.fleetSpec" -}}
{{- $fleet := omit (deepCopy .Values.operator.fleet) "drain" "rollout" -}}
{{- $adapter := $fleet.redisAdapter | default dict -}}
{{- $window := get (.Values.server.settings | default dict) "RECOVERY_WINDOW" -}}
{{- if and $window (not (hasKey $adapter "recoveryWindowSeconds")) -}}
{{- $_ := set $adapter "recoveryWindowSeconds" ($window | float64 | ceil | int64) -}}
{{- end -}}
{{- $roll := include "tradecast.gracePeriod" . | int64 | add 1200 -}}
{{- if and (eq (dig "apply" "" $adapter) "roll") (not (hasKey $adapter "rollSeconds")) (gt $roll 1800) -}}
{{- $_ := set $adapter "rollSeconds" (min $roll 86400) -}}
{{- end -}}
{{- $rebalance := $fleet.rebalance | default dict -}}
{{- if and (lt (float64 .Values.accept.connectionsPerSecond) 50.0) (not (hasKey $rebalance "acceptPerSecond")) -}}
{{- $_ := set $rebalance "acceptPerSecond" (floor .Values.accept.connectionsPerSecond | int64 | max 1) -}}
{{- end -}}
{{- $metric := $fleet.metric | default dict -}}
{{- $stale := mulf 3 .Values.operator.roundSeconds | ceil | int64 -}}
{{- if and (gt $stale 30) (not (hasKey $metric "staleSeconds")) -}}
{{- $_ := set $metric "staleSeconds" $stale -}}
{{- end -}}
{{- merge (dict "redisAdapter" $adapter "rebalance" $rebalance "metric" $metric) $fleet | toYaml -}}
{{- end -}}
