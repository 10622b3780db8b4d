{{/*
How many replicas to write. An autoscaler's number is kept, also when autoscaling is switched on or off: leaving the
field out would reset a live Deployment to 1 when it was there before, and writing replicaCount would undo the scaling.
Two annotations on the Deployment remember who scaled last; a changed replicaCount always takes effect without autoscaling.
*/}}
{{- define "tradecast.replicas" -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace (include "tradecast.fullname" .) -}}
{{- $annotations := dig "metadata" "annotations" (dict) (default (dict) $live) | default dict -}}
{{- $count := .Values.replicaCount | int -}}
{{- $before := get $annotations "tradecast.dev/autoscaling" | default "none" -}}
{{- $replicas := $count -}}
{{- $scaled := "none" -}}
{{- if ne .Values.autoscaling.mode "none" -}}
{{- $scaled = .Values.autoscaling.mode -}}
{{- $replicas = max $count (int .Values.autoscaling.minReplicas) -}}
{{- if $live -}}{{- $replicas = dig "spec" "replicas" 1 $live | int -}}{{- end -}}
{{- else if and $live (ne $before "none") (eq (get $annotations "tradecast.dev/replica-count") (toString $count)) -}}
{{- $scaled = "kept" -}}
{{- $replicas = dig "spec" "replicas" 1 $live | int -}}
{{- end -}}
{{- dict "replicas" $replicas "autoscaling" $scaled "count" (toString $count) | toJson -}}
{{- end -}}
