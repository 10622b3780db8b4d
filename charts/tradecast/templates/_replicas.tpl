{{/*
How many replicas to write. An autoscaler's number is kept, also when autoscaling is switched on or off: leaving the
field out would reset a live Deployment to 1 when it was there before, and writing replicaCount would undo the scaling.
With the operator, the field is left out from the first install on; a release that is switched to it goes on writing what is live.
Two annotations on the Deployment remember who scaled last; a changed replicaCount always takes effect without autoscaling.
*/}}
{{- define "tradecast.replicas" -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace (include "tradecast.fullname" .) -}}
{{- $annotations := dig "metadata" "annotations" (dict) (default (dict) $live) | default dict -}}
{{- $count := .Values.replicaCount | int -}}
{{- $before := get $annotations "tradecast.dev/autoscaling" | default "none" -}}
{{- $replicas := $count -}}
{{- $scaled := "none" -}}
{{- if .Values.operator.enabled -}}
{{/* The operator owns the field. If helm has never written it, it is omitted; otherwise helm must write its current value. */}}
{{- $scaled = ternary "operator" "operator-live" (or (not $live) (eq $before "operator")) -}}
{{- $replicas = ternary "" (dig "spec" "replicas" 1 $live | int) (eq $scaled "operator") -}}
{{- else -}}
{{- if ne .Values.autoscaling.mode "none" -}}
{{- $scaled = .Values.autoscaling.mode -}}
{{- /* The autoscaler would end more than its maximum at once. */ -}}
{{- $replicas = min (max $count (int .Values.autoscaling.minReplicas)) (int .Values.autoscaling.maxReplicas) -}}
{{- if $live -}}{{- $replicas = dig "spec" "replicas" 1 $live | int -}}{{- end -}}
{{- else if and $live (ne $before "none") (eq (get $annotations "tradecast.dev/replica-count") (toString $count)) -}}
{{- $scaled = "kept" -}}
{{- $replicas = dig "spec" "replicas" 1 $live | int -}}
{{- end -}}
{{- end -}}
{{- dict "replicas" $replicas "autoscaling" $scaled "count" (toString $count) | toJson -}}
{{- end -}}

{{/*
What a SocketFleet has to have without an autoscaler: what is live, its own or, when the operator is switched on, the Deployment's; replicaCount
where there is nothing yet, or where it has been changed.
*/}}
{{- define "tradecast.fleetReplicas" -}}
{{- $name := include "tradecast.fullname" . -}}
{{- $live := dict -}}
{{- if .Capabilities.APIVersions.Has "tradecast.dev/v1alpha1/SocketFleet" -}}
{{- $live = lookup "tradecast.dev/v1alpha1" "SocketFleet" .Release.Namespace $name | default dict -}}
{{- end -}}
{{- if not (dig "spec" "replicas" "" $live) -}}
{{- $live = lookup "apps/v1" "Deployment" .Release.Namespace $name | default dict -}}
{{- end -}}
{{- $count := toString (int .Values.replicaCount) -}}
{{- $annotations := dig "metadata" "annotations" (dict) $live | default dict -}}
{{- $kept := and $live (eq (get $annotations "tradecast.dev/replica-count" | default $count) $count) -}}
{{- ternary (dig "spec" "replicas" 1 $live | int) (int $count) (not (not $kept)) -}}
{{- end -}}
